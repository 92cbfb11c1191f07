# Calls {{upstream}} through veilwarden, once a minute.
import http.client
import os
import sys
import time
from urllib.parse import urlsplit

VEILWARDEN = urlsplit(os.environ["VEILWARDEN_URL"])
TOKEN_FILE = os.environ["VEILWARDEN_TOKEN_FILE"]


def call(host, path, method="GET", body=None):
    # The file is read for every call, because the kubelet renews the token.
    with open(TOKEN_FILE) as file:
        token = file.read().strip()
    # http.client follows no redirect and no proxy variable: the token is for veilwarden only.
    connection = http.client.HTTPConnection(VEILWARDEN.hostname, VEILWARDEN.port, timeout=150)
    try:
        fields = {"Authorization": "Bearer " + token, "X-Upstream-Host": host, "User-Agent": "my-app"}
        connection.request(method, path, body, fields)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


while True:
    try:
        status, headers, body = call("{{upstream}}", "{{path}}")
        # The field is there only if veilwarden itself answered.
        print(body, f"{status} {headers.get('X-Veilwarden-Error', '')}", sep="\n", flush=True)
    except (OSError, http.client.HTTPException) as error:
        print(error, file=sys.stderr, flush=True)
    time.sleep(float(os.environ.get("SECONDS_BETWEEN_CALLS", "60")))
