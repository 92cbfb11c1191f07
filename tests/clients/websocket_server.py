"""A WebSocket server over TLS that takes only the real credential: it sends back what it gets, and says who may not come in.

usage: websocket_server.py PORT CERTIFICATE-CHAIN KEY
"""

import asyncio
import http
import ssl
import sys

from websockets.asyncio.server import serve


def admit(connection, request):
    if request.headers.get_all("X-Key") != ["real-key"]:
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no key\n")


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def main():
    port, chain, key = sys.argv[1:]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain, key)
    async with serve(echo, "127.0.0.1", int(port), ssl=tls, process_request=admit) as server:
        await server.serve_forever()


asyncio.run(main())
