"""What the example client does where a server, or what stands before it, does not answer at once: against a server of a few canned
answers. Its only argument is the folder of the client."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

sys.path.insert(0, sys.argv[1])
from stockade import Refused, Stockade  # noqa: E402

OPERATION = "/v1/suppliers/acme/operations/k"
REFUSED_ROW = {"row": 0, "subject": "l-1", "status": "conflict", "code": "sku_changed", "detail": "withdraw it"}
GOOD_ROW = {"row": 0, "subject": "l-2", "status": "applied", "available": 7}


def later(row):
    """Durable and not decided; not there yet; there."""
    yield 202, {}, {"operation": OPERATION}
    yield 404, {"Retry-After": "1"}, {"code": "no_outcome_yet", "detail": "ask again"}
    yield 200, {}, {"succeeded": 0, "failed": 1, "rows": [row]}


class Canned(BaseHTTPRequestHandler):
    answers = iter(())
    asked = []

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        Canned.asked.append((self.command, self.path, self.headers.get("Idempotency-Key")))
        status, headers, body = next(Canned.answers)
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
        self.close_connection = True

    do_GET = do_PUT = do_POST = answer

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Canned)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = Stockade(f"http://127.0.0.1:{server.server_port}", "key")

# What was refused while it was waited for is a refusal.
Canned.answers = later(REFUSED_ROW)
try:
    client.set_stock("acme", "l-1", 5)
    raise SystemExit("a refused row came back as if it were taken")
except Refused as refused:
    assert (refused.status, refused.code) == (409, "sku_changed"), refused
print("refused later")

# What was taken is the row itself, as it is when it was decided at once.
Canned.answers = later(GOOD_ROW)
assert client.set_stock("acme", "l-2", 7)["available"] == 7
print("taken later")

# Half an answer, a refusal in words of a proxy with a date to come back at: the same key is sent again.
Canned.asked.clear()
Canned.answers = iter([
    (200, {"Content-Length": "100"}, b'{"row'),
    (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"<html>busy</html>"),
    (200, {}, GOOD_ROW),
])
assert client.set_stock("acme", "l-2", 7)["available"] == 7
keys = {key for _, _, key in Canned.asked}
assert len(Canned.asked) == 3 and len(keys) == 1 and None not in keys, Canned.asked
print("sent again")

# A refusal that is no problem document is one all the same.
Canned.answers = iter([(502, {}, b"<html>bad gateway</html>")])
try:
    client.listings("acme").__next__()
    raise SystemExit("a bad gateway is no page")
except Refused as refused:
    assert refused.status == 502, refused
print("refused by another")
