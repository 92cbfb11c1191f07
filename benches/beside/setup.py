"""What the programs are set up with: files, certificates, a token, and an API server that knows it."""

import base64
import http.server
import json
import os
import pathlib
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SECRET = "sntrys_0000000000000000000000000000000000"
USER = "system:serviceaccount:team-17:worker"
PATH, HOST = "/api/0/projects/acme/web/", "sentry.io"
LARGE, UPLOAD = PATH + "large", PATH + "upload"
LARGE_BYTES = 64 << 10


def fill(name, directory, **values):
    """Writes a file of benches/setup to the directory, its @names@ replaced."""
    text = (ROOT / "benches/setup" / name).read_text()
    values = {"dir": directory, "root": ROOT, "secret": SECRET, "host": HOST, "path": PATH, **values}
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    (directory / name).write_text(text)
    return directory / name


def large_file(directory):
    """What the upstream answers to GET under LARGE."""
    file = directory / LARGE.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x" * LARGE_BYTES)


def certificates(directory):
    """A CA, and a P-256 certificate of it for the upstream and for nginx in the proxies' place."""
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    openssl = lambda *words: subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)
    openssl("req", "-x509", *new_key, "-subj", "/CN=bench CA", "-keyout", "ca.key", "-out", "ca.crt")
    name = f"subjectAltName=DNS:{HOST}"
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", name, "-addext", "basicConstraints=critical,CA:FALSE"]
    openssl("req", "-x509", *new_key, "-subj", "/O=bench", *signed, "-keyout", "leaf.key", "-out", "leaf.crt")


def token():
    """A ServiceAccount token of 1 KB: its form is checked, its signature is the API server's business."""
    part = lambda content: base64.urlsafe_b64encode(content).rstrip(b"=").decode()
    now = int(time.time())
    claims = {"aud": ["veilwarden"], "exp": now + 86400, "iat": now, "iss": "https://played.test", "sub": USER}
    head = part(b'{"alg":"RS256","kid":"k"}') + "." + part(json.dumps(claims).encode()) + "."
    return head + part(os.urandom(768))[: 1024 - len(head)]


class TokenReview(http.server.BaseHTTPRequestHandler):
    """An API server that knows every token as that of `worker` of team-17."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        user = {"username": USER, "uid": "4b1f0c3e-6f0e-4c3a-9a41-0d7f3b0f6c11"}
        user["groups"] = ["system:serviceaccounts", "system:serviceaccounts:team-17", "system:authenticated"]
        extra = {"pod-name": ["worker-7d4b9c6f5-x2x9k"], "pod-uid": ["9c8a2d52-51f5-4d5b-8f0e-2f1f4f6f7a90"]}
        user["extra"] = {f"authentication.kubernetes.io/{key}": value for key, value in extra.items()}
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {}}
        review["status"] = {"authenticated": True, "audiences": ["veilwarden"], "user": user}
        body = json.dumps(review).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def api_server(ending):
    """Starts the API server in this process; its port."""
    reviews = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenReview)
    threading.Thread(target=reviews.serve_forever, daemon=True).start()
    ending.callback(reviews.shutdown)
    return reviews.server_port
