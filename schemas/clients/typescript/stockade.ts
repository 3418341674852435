// A small client of Stockade's HTTP API, written from schemas/openapi.json. No dependencies but fetch, so it runs in Node 20 or
// newer, in browsers and elsewhere.
//
// Writes carry an Idempotency-Key that stays the same over retries, so that nothing counts twice however often it is sent.

export interface Money { minor: number; currency: string }
export interface RowOutcome { row: number; subject?: string; status: "applied" | "replayed" | "superseded" | "conflict" | "invalid"; code?: string; detail?: string; available?: number }
export interface Listing { listing: string; sku: string; gtin: string | null; location: string; price: Money; regions: string[]; on_hand: number; available: number; withdrawn: boolean; updated_at: string }
export interface Offer { supplier: string; listing: string; sku: string; gtin: string | null; price: Money; available: number; regions: string[]; lead_days: number }
export interface Availability { as_of: string; staleness_ms: number; completeness: "complete" | "partial"; offers: Offer[]; next: string | null }
export interface Reservation { reservation: string; supplier: string; listing: string; quantity: number; state: "held" | "confirmed" | "ordered" | "cancelled" | "released" | "lapsed"; kept: number; expires_at?: string; order?: string; at_risk: boolean }
/** A listing with its supplier, or a good by `sku` or `gtin` with a `region`, of which the cheapest offer is chosen. */
export type Line = { quantity: number } & ({ supplier: string; listing: string; region?: string } | (({ sku: string } | { gtin: string }) & { region: string; currency?: string; max_price?: number }));
export interface BasketLine { line: number; supplier?: string; listing?: string; quantity: number; reservation?: string; state?: Reservation["state"]; kept: number; at_risk: boolean; code?: string; alternatives?: Offer[] }
export interface Basket { basket: string; mode: "all_or_nothing" | "per_line"; state: Reservation["state"] | "pending" | "mixed"; expires_at?: string; at_risk: boolean; succeeded: number; failed: number; lines: BasketLine[] }
export interface Page<Item> { items: Item[]; next: string | null }
export interface EventRow { row: number; id?: string; status: "accepted" | "invalid"; answer?: string }
export interface FieldError { field: string; code: string; detail: string }
/** One event of a change stream: `good` when what is seen of a good has changed, `live` once all were told. */
export interface Change { kind: string; id: string; data: { offers?: Offer[]; sku?: string | null; as_of: string } }
export interface Answer<Body> { status: number; body: Body; headers: Headers }
export type Bounds = Partial<{ region: string; min_qty: number; max_price: number; currency: string; max_lead_days: number; near: string; radius_km: number; sort: "price" | "lead" | "distance"; limit: number }>;

/** A problem document: `code` is stable, the message says what to do, `errors` names the fields. */
export class Refused extends Error {
  status: number;
  code: string;
  errors: FieldError[];
  constructor(status: number, problem: { code?: string; detail?: string; errors?: FieldError[] }) {
    super(`${status} ${problem.code}: ${problem.detail}`);
    this.status = status;
    this.code = problem.code ?? "";
    this.errors = problem.errors ?? [];
  }
}

/** Worth another try: too much at a time, not now, no room. All come with Retry-After. */
const RETRIED = [429, 503, 507];
const TIMEOUT_MS = 20_000;
/** How long a write that is durable and not decided yet is waited for. */
const PATIENCE_MS = 120_000;
/** A comment comes every 15 seconds; longer silence is a lost connection. */
const SILENCE_MS = 40_000;

const part = encodeURIComponent;
const pause = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));
const query = (of: object) =>
  new URLSearchParams(
    Object.entries(of)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]): [string, string] => [name, String(value)]),
  ).toString();

/** What a refusal says; what stands between may answer in words of its own. */
function refusalOf(status: number, text: string): Refused {
  try {
    return new Refused(status, JSON.parse(text));
  } catch {
    return new Refused(status, { detail: text });
  }
}

/** Milliseconds that Retry-After asks for; what stands between may write a date there, which is not followed. */
function askedToWaitMs(headers: Headers, otherwiseMs: number): number {
  const seconds = Number(headers.get("Retry-After") ?? Number.NaN);
  return seconds >= 0 ? seconds * 1_000 : otherwiseMs;
}

export class Stockade {
  private url: string;
  private key: string;
  private tries: number;
  constructor(url: string, key: string, tries = 6) {
    this.url = url.replace(/\/$/, "");
    this.key = key;
    this.tries = tries;
  }

  /** One call, tried again where the answer says so or none came. A write needs an Idempotency-Key, or an effect that is the same
   * when it is repeated. */
  async call<Body>(method: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<Answer<Body>> {
    for (let attempt = 1; ; attempt += 1) {
      let waitMs = Math.min(2 ** attempt * 250, 10_000);
      try {
        const answer = await fetch(this.url + path, {
          method,
          headers: { Authorization: `Bearer ${this.key}`, ...(body ? { "Content-Type": "application/json" } : {}), ...headers },
          body: body ? JSON.stringify(body) : undefined,
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        const text = await answer.text();
        if (answer.ok || answer.status === 304) {
          return { status: answer.status, body: (text ? JSON.parse(text) : null) as Body, headers: answer.headers };
        }
        if (!RETRIED.includes(answer.status) || attempt >= this.tries) throw refusalOf(answer.status, text);
        waitMs = askedToWaitMs(answer.headers, waitMs);
      } catch (error) {
        if (error instanceof Refused || attempt >= this.tries) throw error;
      }
      // Not all at once when a server comes back.
      await pause(waitMs * (1 + Math.random() / 4));
    }
  }

  /** A write under one Idempotency-Key. What is durable and not decided yet is waited for. */
  async write<Body>(method: string, path: string, body?: object, key: string = crypto.randomUUID()): Promise<Body> {
    const answer = await this.call<Body & { operation?: string }>(method, path, body, { "Idempotency-Key": key });
    if (answer.status !== 202 || !answer.body?.operation) return answer.body;
    const until = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        return (await this.call<Body>("GET", answer.body.operation)).body;
      } catch (error) {
        // It is there as soon as it is decided, and for a day.
        if (!(error instanceof Refused) || error.code !== "no_outcome_yet" || Date.now() > until) throw error;
        await pause(1_000);
      }
    }
  }

  /** A write of one thing: what became of it. The operation of one that was waited for has it as its only row, and there a refusal
   * is no problem document. */
  async writeRow(method: string, path: string, body: object, key?: string): Promise<RowOutcome> {
    const answer = await this.write<RowOutcome | { rows: RowOutcome[] }>(method, path, body, key);
    if (!("rows" in answer)) return answer;
    const row = answer.rows[0];
    if (row.status === "conflict" || row.status === "invalid") throw new Refused(row.status === "conflict" ? 409 : 422, row);
    return row;
  }

  /** Every item of a list, page after page. */
  async *pages<Item>(path: string, limit = 50): AsyncGenerator<Item> {
    let cursor: string | null = null;
    do {
      const asked: string = query(cursor ? { limit, cursor } : { limit });
      const page: Page<Item> = (await this.call<Page<Item>>("GET", `${path}?${asked}`)).body;
      yield* page.items;
      cursor = page.next;
    } while (cursor);
  }

  // What suppliers do.

  putLocation(supplier: string, location: string, at: { latitude: number; longitude: number; region: string; handling_days: number }) {
    return this.writeRow("PUT", `/v1/suppliers/${part(supplier)}/locations/${part(location)}`, at);
  }
  putListing(supplier: string, listing: string, of: { sku: string; gtin?: string; location: string; price: Money; on_hand?: number }) {
    return this.writeRow("PUT", `/v1/suppliers/${part(supplier)}/listings/${part(listing)}`, of);
  }
  /** Says how many units there are. With `source_seq`, your own count of changes, what is older loses. */
  setStock(supplier: string, listing: string, units: number, more: { source_seq?: number; key?: string } = {}) {
    const { key, ...sequence } = more;
    return this.writeRow("POST", `/v1/suppliers/${part(supplier)}/listings/${part(listing)}/stock`, { set: units, ...sequence }, key);
  }
  listings(supplier: string, limit = 50) {
    return this.pages<Listing>(`/v1/suppliers/${part(supplier)}/listings`, limit);
  }

  // What buyers do.

  async availability(sku: string, bounds: Bounds = {}): Promise<Availability> {
    return (await this.call<Availability>("GET", `/v1/availability?${query({ sku, ...bounds })}`)).body;
  }
  reserve(supplier: string, listing: string, quantity: number, key?: string) {
    return this.write<Reservation>("POST", "/v1/reservations", { supplier, listing, quantity }, key);
  }
  async confirm(reservation: string): Promise<Reservation> {
    return (await this.call<Reservation>("POST", `/v1/reservations/${part(reservation)}:confirm`)).body;
  }
  async release(reservation: string): Promise<void> {
    await this.call<null>("DELETE", `/v1/reservations/${part(reservation)}`);
  }

  /** Holds a basket: all of its lines or none, or with `per_line` each that is to be had. The same key gets the same choice of offers. */
  reserveLines(lines: Line[], mode: Basket["mode"] = "all_or_nothing", key?: string) {
    return this.write<Basket>("POST", "/v1/reservations", { mode, lines }, key);
  }
  async confirmBasket(basket: string): Promise<Basket> {
    return (await this.call<Basket>("POST", `/v1/baskets/${part(basket)}:confirm`)).body;
  }
  async releaseBasket(basket: string): Promise<void> {
    await this.call<null>("DELETE", `/v1/baskets/${part(basket)}`);
  }

  /** Changes of goods, without end: comes back by itself with the last id it saw, and is told what is different by then. */
  async *watch(skus: string[], lastEventId = "", bounds: Bounds = {}): AsyncGenerator<Change> {
    const asked = new URLSearchParams([...skus.map((sku): [string, string] => ["sku", sku]), ...new URLSearchParams(query(bounds))]);
    for (;;) {
      const gone = new AbortController();
      const unanswered = setTimeout(() => gone.abort(), TIMEOUT_MS);
      let waitMs = 2_000;
      try {
        const answer = await fetch(`${this.url}/v1/availability/stream?${asked}`, {
          headers: { Authorization: `Bearer ${this.key}`, Accept: "text/event-stream", ...(lastEventId ? { "Last-Event-ID": lastEventId } : {}) },
          signal: gone.signal,
        });
        clearTimeout(unanswered);
        if (!answer.ok || !answer.body) {
          const refused = refusalOf(answer.status, await answer.text());
          if (!RETRIED.includes(answer.status)) throw refused;
          waitMs = askedToWaitMs(answer.headers, waitMs);
        } else {
          for await (const change of changes(answer.body, gone)) {
            lastEventId = change.id || lastEventId;
            yield change;
          }
        }
      } catch (error) {
        if (error instanceof Refused) throw error;
      } finally {
        clearTimeout(unanswered);
        gone.abort();
      }
      // Not all at once when a server comes back.
      await pause(waitMs * (1 + Math.random() / 4));
    }
  }

  // What order systems do.

  /** Tells what became of an order: `type` is `stockade.order.placed` and the like. Sent again under its id it counts once. */
  async sendEvent(type: string, data: object, source: string, id: string = crypto.randomUUID()): Promise<EventRow> {
    const event = { specversion: "1.0", id, source, type, data };
    const receipt = await this.call<{ rows: EventRow[] }>("POST", "/v1/events", event);
    return receipt.body.rows[0];
  }
}

/** Server-sent events out of a body. */
async function* changes(body: ReadableStream<Uint8Array>, gone: AbortController): AsyncGenerator<Change> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let kind = "message";
  let id = "";
  let data: string[] = [];
  for (;;) {
    const silence = setTimeout(() => gone.abort(), SILENCE_MS);
    const { done, value } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const lines = rest.split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [, name, text] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
      if (line === "") {
        if (data.length) yield { kind, id, data: JSON.parse(data.join("\n")) };
        kind = "message";
        data = [];
      } else if (name === "event") kind = text;
      else if (name === "id") id = text;
      else if (name === "data") data.push(text);
    }
  }
}
