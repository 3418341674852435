// A day of a small shop, told in calls: example.ts URL SUPPLIER_KEY BUYER_KEY ORDERS_KEY. The supplier `acme` is registered.

import { Refused, Stockade } from "./stockade.ts";
import type { Change } from "./stockade.ts";

declare const process: { argv: string[] };

/** The next change of a kind; the stream is left then. */
async function next(stream: AsyncGenerator<Change>, kind: string): Promise<Change> {
  for await (const change of stream) if (change.kind === kind) return change;
  throw new Error("a stream has no end");
}

const [url, supplierKey, buyerKey, ordersKey] = process.argv.slice(2);
const [supplier, buyer, orders] = [supplierKey, buyerKey, ordersKey].map((key) => new Stockade(url, key));
const run = crypto.randomUUID().slice(0, 8);
const [sku, order] = [`tea/${run}`, `o-${run}`];

await supplier.putLocation("acme", "main", { latitude: 52.5, longitude: 13.4, region: "DE", handling_days: 2 });
for (let number = 0; number < 3; number += 1) {
  await supplier.putListing("acme", `tea ${run} ${number}`, { sku, location: "main", price: { minor: 499 + number, currency: "EUR" }, on_hand: 5 });
}
// The same key twice is one change.
await supplier.setStock("acme", `tea ${run} 0`, 12, { key: `count-${run}` });
const stocked = await supplier.setStock("acme", `tea ${run} 0`, 12, { key: `count-${run}` });
console.log("stocked", stocked.available);
let listed = 0;
for await (const listing of supplier.listings("acme", 2)) if (listing.sku === sku) listed += 1;
console.log("listed", listed);

const { offers } = await buyer.availability(sku, { region: "DE", sort: "price" });
console.log("offered", offers.length, offers[0].price.minor);

const seen = await next(buyer.watch([sku]), "live");
const held = await buyer.reserve("acme", offers[0].listing, 2, `cart-${run}`);
// Away meanwhile, and told what is different.
const changed = await next(buyer.watch([sku], seen.id), "good");
console.log("watched", Math.max(...(changed.data.offers ?? []).map((offer) => offer.available)));
console.log("reserved", (await buyer.confirm(held.reservation)).state);

// A checkout knows the good, and not who offers it. The same key twice is one basket.
const lines = [{ sku, quantity: 3, region: "DE" }, { supplier: "acme", listing: `tea ${run} 2`, quantity: 1 }];
await buyer.reserveLines(lines, "all_or_nothing", `basket-${run}`);
const basket = await buyer.reserveLines(lines, "all_or_nothing", `basket-${run}`);
const chosen = basket.lines.map((line) => line.listing?.split(" ").at(-1));
console.log("basket", (await buyer.confirmBasket(basket.basket)).state, ...chosen);

const placed = { supplier: "acme", order, buyer: "b-1", listing: offers[0].listing, quantity: 2, reservation: held.reservation };
console.log("told", (await orders.sendEvent("stockade.order.placed", placed, "example")).status);
try {
  await buyer.reserve("acme", offers[0].listing, 1_000);
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  console.log("refused", error.code);
}
