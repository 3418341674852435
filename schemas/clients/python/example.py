"""A day of a small shop, told in calls: python3 example.py URL SUPPLIER_KEY BUYER_KEY ORDERS_KEY. The supplier `acme` is registered."""

import sys
import uuid

from stockade import Refused, Stockade


def main(url: str, supplier_key: str, buyer_key: str, orders_key: str) -> None:
    supplier, buyer, orders = Stockade(url, supplier_key), Stockade(url, buyer_key), Stockade(url, orders_key)
    run = uuid.uuid4().hex[:8]
    sku, order = f"tea/{run}", f"o-{run}"

    supplier.put_location("acme", "main", 52.5, 13.4, "DE", 2)
    for number in range(3):
        supplier.put_listing("acme", f"tea {run} {number}", sku, "main", 499 + number, "EUR", 5)
    # The same key twice is one change.
    for _ in range(2):
        stocked = supplier.set_stock("acme", f"tea {run} 0", 12, key=f"count-{run}")
    print("stocked", stocked["available"])
    mine = [listing["listing"] for listing in supplier.listings("acme", limit=2) if listing["sku"] == sku]
    print("listed", len(mine))

    offers = buyer.availability(sku, region="DE", sort="price")["offers"]
    print("offered", len(offers), offers[0]["price"]["minor"])

    stream = buyer.watch([sku])
    seen = next(event for event in stream if event.kind == "live")
    stream.close()
    held = buyer.reserve("acme", offers[0]["listing"], 2, key=f"cart-{run}")
    # Away meanwhile, and told what is different.
    stream = buyer.watch([sku], last_event_id=seen.id)
    changed = next(event for event in stream if event.kind == "good")
    stream.close()
    print("watched", max(offer["available"] for offer in changed.data["offers"]))
    print("reserved", buyer.confirm(held["reservation"])["state"])

    # A checkout knows the good, and not who offers it. The same key twice is one basket.
    lines = [{"sku": sku, "quantity": 3, "region": "DE"}, {"supplier": "acme", "listing": f"tea {run} 2", "quantity": 1}]
    for _ in range(2):
        basket = buyer.reserve_lines(lines, key=f"basket-{run}")
    print("basket", buyer.confirm_basket(basket["basket"])["state"], *(line["listing"].split()[-1] for line in basket["lines"]))

    placed = {"supplier": "acme", "order": order, "buyer": "b-1", "listing": offers[0]["listing"], "quantity": 2,
              "reservation": held["reservation"]}
    print("told", orders.send_event("stockade.order.placed", placed, "example")["status"])
    try:
        buyer.reserve("acme", offers[0]["listing"], 1_000)
    except Refused as refused:
        print("refused", refused.code)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
