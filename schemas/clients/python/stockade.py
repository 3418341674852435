"""A small client of Stockade's HTTP API, written from schemas/openapi.json. Standard library only, Python 3.9 or newer.

    supplier = Stockade("http://127.0.0.1:7400", key)
    supplier.set_stock("acme", "l-1", 10)

Writes carry an Idempotency-Key that stays the same over retries, so that nothing counts twice however often it is sent.
"""

import http.client
import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional

Json = Dict[str, Any]

# Worth another try: too much at a time, not now, no room. All come with Retry-After.
RETRIED = (429, 503, 507)

# No answer, or half of one. A timeout is one of them in every version of Python.
BROKEN = (OSError, http.client.HTTPException)


class Refused(Exception):
    """A problem document: `code` is stable, `detail` says what to do, `errors` names the fields."""

    def __init__(self, status: int, problem: Json):
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status = status
        self.code: str = problem.get("code", "")
        self.errors: List[Json] = problem.get("errors", [])


@dataclass
class Answer:
    status: int
    body: Any
    headers: Any


@dataclass
class Event:
    """One event of a change stream: `good` when what is seen of a good has changed, `live` once all were told."""

    kind: str
    id: str
    data: Json = field(default_factory=dict)


def problem_of(text: bytes) -> Json:
    """The problem document of a refusal; what stands between may answer in words of its own."""
    try:
        problem = json.loads(text)
    except ValueError:
        problem = None
    return problem if isinstance(problem, dict) else {"detail": text.decode("utf-8", "replace")}


def asked_to_wait_s(headers: Any, otherwise_s: float) -> float:
    """Seconds that Retry-After asks for; what stands between may write a date there, which is not followed."""
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:
        return otherwise_s


def part(name: str) -> str:
    """A name as one part of a path."""
    return urllib.parse.quote(name, safe="")


class Stockade:
    def __init__(self, url: str, key: str, tries: int = 6, timeout_s: float = 20.0, patience_s: float = 120.0):
        """`patience_s` is how long a write that is durable and not decided yet is waited for."""
        self.url, self.key, self.tries = url.rstrip("/"), key, tries
        self.timeout_s, self.patience_s = timeout_s, patience_s

    # How a call is made.

    def _open(self, method: str, path: str, body: Optional[Json], headers: Dict[str, str], timeout_s: float):
        data = None if body is None else json.dumps(body).encode()
        all_headers = {"Authorization": f"Bearer {self.key}", "Accept": "application/json", **headers}
        if data is not None:
            all_headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=all_headers)
        return urllib.request.urlopen(request, timeout=timeout_s)

    def call(self, method: str, path: str, body: Optional[Json] = None, headers: Optional[Dict[str, str]] = None) -> Answer:
        """One call, tried again where the answer says so or none came. A write needs an Idempotency-Key, or an effect that is the
        same when it is repeated."""
        for attempt in range(1, self.tries + 1):
            wait_s = min(2.0**attempt / 4, 10.0)
            try:
                with self._open(method, path, body, headers or {}, self.timeout_s) as answer:
                    text = answer.read()
                    return Answer(answer.status, json.loads(text) if text else None, answer.headers)
            except urllib.error.HTTPError as refusal:
                with refusal:
                    text = refusal.read()
                    if refusal.code == 304:
                        return Answer(304, None, refusal.headers)
                    if refusal.code not in RETRIED or attempt == self.tries:
                        raise Refused(refusal.code, problem_of(text)) from None
                    wait_s = asked_to_wait_s(refusal.headers, wait_s)
            except BROKEN:
                if attempt == self.tries:
                    raise
            # Not all at once when a server comes back.
            time.sleep(wait_s * random.uniform(1.0, 1.25))
        raise AssertionError("unreachable: the last try returns or raises")

    def write(self, method: str, path: str, body: Optional[Json] = None, key: Optional[str] = None) -> Answer:
        """A write under one Idempotency-Key. What is durable and not decided yet is waited for."""
        key = key or uuid.uuid4().hex
        answer = self.call(method, path, body, {"Idempotency-Key": key})
        until = time.monotonic() + self.patience_s
        while answer.status == 202 and isinstance(answer.body, dict) and "operation" in answer.body:
            try:
                return self.call("GET", answer.body["operation"])
            except Refused as refused:
                # It is there as soon as it is decided, and for a day.
                if refused.code != "no_outcome_yet" or time.monotonic() > until:
                    raise
                time.sleep(1.0)
        return answer

    def write_row(self, method: str, path: str, body: Json, key: Optional[str] = None) -> Json:
        """A write of one thing: what became of it. The operation of one that was waited for has it as its only row, and there a
        refusal is no problem document."""
        answer = self.write(method, path, body, key)
        if "rows" not in answer.body:
            return answer.body
        row = answer.body["rows"][0]
        if row["status"] in ("conflict", "invalid"):
            raise Refused(409 if row["status"] == "conflict" else 422, row)
        return row

    def pages(self, path: str, limit: int = 50) -> Iterator[Json]:
        """Every item of a list, page after page."""
        cursor: Optional[str] = None
        while True:
            query = {"limit": str(limit), **({"cursor": cursor} if cursor else {})}
            page = self.call("GET", f"{path}?{urllib.parse.urlencode(query)}").body
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    # What suppliers do.

    def put_location(self, supplier: str, location: str, latitude: float, longitude: float, region: str, handling_days: int) -> Json:
        body = {"latitude": latitude, "longitude": longitude, "region": region, "handling_days": handling_days}
        return self.write_row("PUT", f"/v1/suppliers/{part(supplier)}/locations/{part(location)}", body)

    def put_listing(self, supplier: str, listing: str, sku: str, location: str, minor: int, currency: str, on_hand: int) -> Json:
        body = {"sku": sku, "location": location, "price": {"minor": minor, "currency": currency}, "on_hand": on_hand}
        return self.write_row("PUT", f"/v1/suppliers/{part(supplier)}/listings/{part(listing)}", body)

    def set_stock(self, supplier: str, listing: str, units: int, source_seq: Optional[int] = None, key: Optional[str] = None) -> Json:
        """Says how many units there are. With `source_seq`, your own count of changes, what is older loses."""
        body: Json = {"set": units} if source_seq is None else {"set": units, "source_seq": source_seq}
        return self.write_row("POST", f"/v1/suppliers/{part(supplier)}/listings/{part(listing)}/stock", body, key)

    def listings(self, supplier: str, limit: int = 50) -> Iterator[Json]:
        return self.pages(f"/v1/suppliers/{part(supplier)}/listings", limit)

    # What buyers do.

    def availability(self, sku: str, **bounds: Any) -> Json:
        query = urllib.parse.urlencode({"sku": sku, **{name: str(value) for name, value in bounds.items()}})
        return self.call("GET", f"/v1/availability?{query}").body

    def reserve(self, supplier: str, listing: str, quantity: int, key: Optional[str] = None) -> Json:
        body = {"supplier": supplier, "listing": listing, "quantity": quantity}
        return self.write("POST", "/v1/reservations", body, key).body

    def confirm(self, reservation: str) -> Json:
        return self.call("POST", f"/v1/reservations/{part(reservation)}:confirm").body

    def release(self, reservation: str) -> None:
        self.call("DELETE", f"/v1/reservations/{part(reservation)}")

    def reserve_lines(self, lines: List[Json], mode: str = "all_or_nothing", key: Optional[str] = None) -> Json:
        """Holds a basket: all of its lines or none, or with `per_line` each that is to be had. A line names `supplier` and `listing`, or
        `sku` or `gtin` with a `region`: then the cheapest offer is chosen, and the same key gets the same choice."""
        return self.write("POST", "/v1/reservations", {"mode": mode, "lines": lines}, key).body

    def confirm_basket(self, basket: str) -> Json:
        return self.call("POST", f"/v1/baskets/{part(basket)}:confirm").body

    def release_basket(self, basket: str) -> None:
        self.call("DELETE", f"/v1/baskets/{part(basket)}")

    def watch(self, skus: List[str], last_event_id: Optional[str] = None, **bounds: Any) -> Iterator[Event]:
        """Changes of goods, without end: comes back by itself with the last id it saw, and is told what is different by then."""
        query = urllib.parse.urlencode([("sku", sku) for sku in skus] + [(name, str(value)) for name, value in bounds.items()])
        while True:
            wait_s = 2.0
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_event_id} if last_event_id else {})}
            try:
                # A comment comes every 15 seconds; longer silence is a lost connection.
                with self._open("GET", f"/v1/availability/stream?{query}", None, headers, 40.0) as stream:
                    for event in events(stream):
                        last_event_id = event.id or last_event_id
                        yield event
            except urllib.error.HTTPError as refusal:
                with refusal:
                    if refusal.code not in RETRIED:
                        raise Refused(refusal.code, problem_of(refusal.read())) from None
                    wait_s = asked_to_wait_s(refusal.headers, wait_s)
            except BROKEN:
                pass
            time.sleep(wait_s * random.uniform(1.0, 1.25))

    # What order systems do.

    def send_event(self, kind: str, data: Json, source: str, id: Optional[str] = None) -> Json:
        """Tells what became of an order: `kind` is `stockade.order.placed` and the like. Sent again under its id it counts once."""
        event = {"specversion": "1.0", "id": id or uuid.uuid4().hex, "source": source, "type": kind, "data": data}
        return self.call("POST", "/v1/events", event).body["rows"][0]


def events(lines: Any) -> Iterator[Event]:
    """Server-sent events out of the lines of a body."""
    kind, id, data = "message", "", []
    for raw in lines:
        line = raw.decode().rstrip("\r\n")
        if not line:
            if data:
                yield Event(kind, id, json.loads("\n".join(data)))
            kind, data = "message", []
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if name == "event":
                kind = value
            elif name == "id":
                id = value
            elif name == "data":
                data.append(value)
