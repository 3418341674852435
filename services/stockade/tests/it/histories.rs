//! Order histories as the world has them: looked at, mapped, joined, sorted, refused row by row.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::replay::here;

fn stockade(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
}

fn last_json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("{output:?}"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn replayed(input: &Path, mapping: &Path, more: &[&str]) -> Output {
    let args = ["replay", "--json", "--input", text(input), "--mapping", text(mapping)];
    stockade(&[&args, more].concat())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn written(directory: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

/// Day `n` from the first of January 2018, as year, month, day.
fn day(n: u32) -> (u32, u32, u32) {
    const MONTHS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (mut year, mut left, mut month) = (2018, n, 0);
    loop {
        if left < MONTHS[month] {
            return (year, month as u32 + 1, left + 1);
        }
        left -= MONTHS[month];
        month += 1;
        if month == 12 {
            (year, month) = (year + 1, 0);
        }
    }
}

fn us(n: u32) -> String {
    let (year, month, day) = day(n);
    format!("{month}/{day}/{year}")
}

fn iso(n: u32, time: &str) -> String {
    let (year, month, day) = day(n);
    format!("{year}-{month:02}-{day:02} {time}")
}

/// Small files in the shapes of well-known public ones: name, bytes, rows, and orders that are to be placed.
fn shapes() -> Vec<(&'static str, Vec<u8>, u64, u64)> {
    let mut all = Vec::new();
    let table = |header: &str, rows: Vec<String>| format!("{header}\r\n{}\r\n", rows.join("\r\n"));

    let rows = (0..90).map(|n| {
        let (sign, units) = if n % 30 == 29 { ("C", -2) } else { ("", 12) };
        format!(
            "{sign}{},85048,\"15CM, \"\"GLASS\"\"\",{units},{} {}:05,2.{n:02},{},United Kingdom",
            489_434 + n / 3,
            us(n / 3),
            8 + n % 3,
            if n % 9 == 0 { "" } else { "13085.0" }
        )
    });
    let header = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country";
    all.push(("online_retail_ii.csv", table(header, rows.collect()).into_bytes(), 90, 87));

    let rows = (0..60).map(|n| {
        let ordered = (n * 37) % 60;
        format!("{},CA-2018-{},{},{},Second Class,CG-12520,Claire Gut\u{e9},Consumer,United States,Henderson,Kentucky,42420,South,FUR-BO-1000{},Furniture,Bookcases,Shelf,{}.9575,2,0,41.9", n + 1, 1_000 + n / 2, us(ordered), us(ordered + 3), n % 9, 200 + n)
    });
    let header = "Row ID,Order ID,Order Date,Ship Date,Ship Mode,Customer ID,Customer Name,Segment,Country,City,State,Postal Code,Region,Product ID,Category,Sub-Category,Product Name,Sales,Quantity,Discount,Profit";
    all.push(("superstore.csv", latin(&table(header, rows.collect())), 60, 60));

    let rows = (0..60).map(|n| {
        let status = ["COMPLETE", "PENDING", "CANCELED", "SUSPECTED_FRAUD"][n as usize % 4];
        format!("DEBIT,{},F\u{fa}tbol,{},{},S\u{e3}o Paulo,{},{} 22:56,{},{},327.75,1,327.75,{status},1360,Smart watch ,{} 22:56", n % 2, 20_755 + n, 2 + n % 3, 20_755 + n, us(60 - n), 77_202 + n, 180_517 + n, us(63 - n))
    });
    let header = "Type,Late_delivery_risk,Category Name,Customer Id,Department Id,Order City,Order Customer Id,order date (DateOrders),Order Id,Order Item Id,Order Item Product Price,Order Item Quantity,Sales,Order Status,Product Card Id,Product Name,shipping date (DateOrders)";
    all.push(("dataco.csv", latin(&table(header, rows.collect())), 60, 60));

    let rows = (0..60).map(|n| {
        let nth = n % 5 + 1;
        let since = if nth == 1 { String::new() } else { format!("{}.0", 3 + nth) };
        format!("{},{},prior,{nth},{},{:02},{since}", n + 1, n / 5 + 1, n % 7, 8 + nth)
    });
    let header = "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order";
    all.push(("instacart_orders.csv", table(header, rows.collect()).into_bytes(), 60, 60));

    let german = |n: u32| {
        let (year, month, day) = day(n);
        format!("{day:02}.{month:02}.{year}")
    };
    let rows = (0..60).map(|n| {
        let status = if n % 10 == 9 { "storniert" } else { "zur\u{fc}ckgestellt" };
        format!("B-{n};K-{};{};ART-{};{};1.{},50;{status}", n % 7, german(n), n % 5, 1 + n % 3, 200 + n)
    });
    let header = "Bestellnummer;Kundennummer;Bestelldatum;Artikelnummer;Menge;Einzelpreis;Status";
    all.push(("bestellungen.csv", latin(&table(header, rows.collect())), 60, 60));

    let rows = (0..60).map(|n| {
        let (year, month, day) = day(90 - n / 3);
        let status = ["Shipped", "Cancelled", "Shipped - Returned to Seller"][n as usize % 3];
        let (units, amount) = if n % 6 == 1 { (0, "") } else { (1, "647.62") };
        format!("{n},405-80-{n},{month:02}-{day:02}-{:02},{status},Amazon,Amazon.in,SKU-{},Set,{units},INR,{amount},MUMBAI", year % 100, n % 4)
    });
    let header =
        "index,Order ID,Date,Status,Fulfilment,Sales Channel ,SKU,Category,Qty,currency,Amount,ship-city";
    all.push(("amazon_sale_report.csv", table(header, rows.collect()).into_bytes(), 60, 50));

    let rows = (0..40).map(|n| {
        format!(
            "{n}\t{}\t\u{141}ucja {}\tK\u{f6}ln \u{2116} {}\t2\t\u{20ac} {},50",
            iso(n, "09:30:00"),
            n % 5,
            n % 4,
            10 + n
        )
    });
    let excel =
        table("Order Number\tOrder Date\tCustomer Name\tProduct\tQuantity\tUnit Price", rows.collect());
    let excel = format!("\u{feff}{excel}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    all.push(("excel.txt", excel, 40, 40));

    let rows = (0..60).map(|n| {
        let at = |more: u32| iso((n * 53) % 60 + more, "10:56:33");
        format!(
            "o{n:031},c{:031},{},{},{},{},{},1,p{:031},s{:031},29.99,housewares",
            n % 20,
            if n % 20 == 0 { "canceled" } else { "delivered" },
            at(0),
            at(2),
            at(8),
            at(16),
            n % 9,
            n % 5
        )
    });
    let header = "order_id,customer_unique_id,order_status,order_purchase_timestamp,order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date,order_item_id,product_id,seller_id,price,product_category_name_english";
    all.push(("brazil_joined.csv", table(header, rows.collect()).into_bytes(), 60, 60));
    all
}

#[test]
fn well_known_files_are_mapped_and_played_without_an_edit() {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes, rows, orders) in shapes() {
        let file = written(directory.path(), name, bytes);
        let mapping = directory.path().join(format!("{name}.yaml"));
        let looked = stockade(&["map", text(&file), "--history", "--json", "--out", text(&mapping)]);
        let seen = last_json(&looked);
        assert!(looked.status.success() && seen["problem"].is_null(), "{name}: {seen}");
        let events = seen["rows"].as_array().unwrap();
        assert!(events.len() >= 10 && events.iter().all(|row| row["event"].is_object()), "{name}: {seen}");
        let report = last_json(&replayed(&file, &mapping, &[]));
        assert_eq!((&report["rows"], &report["orders"]), (&rows.into(), &orders.into()), "{name}: {report}");
        assert_eq!(report["refused"]["rows"], 0, "{name}: {report}");
    }
}

#[test]
fn the_sample_is_proposed_with_all_its_columns_and_the_proposal_finds_the_two_bad_shops() {
    let directory = tempfile::tempdir().unwrap();
    let (sample, mapping) = (here("samples/orders.csv"), directory.path().join("proposed mapping.yaml"));
    let looked = stockade(&["map", text(&sample), "--history", "--out", text(&mapping)]);
    let shown = String::from_utf8_lossy(&looked.stdout).into_owned();
    assert!(looked.status.success() && !shown.contains("not used"), "{shown}");
    // What it says to do next can be run as it stands.
    assert!(shown.contains(&format!("written to '{}'", text(&mapping))), "{shown}");
    assert!(shown.contains(&format!("--mapping '{}'`", text(&mapping))), "{shown}");
    let lockouts = directory.path().join("lockouts.csv");
    assert!(replayed(&sample, &mapping, &["--lockouts", text(&lockouts)]).status.success());
    let lockouts = std::fs::read_to_string(lockouts).unwrap();
    let locked: BTreeSet<&str> = lockouts.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(locked, BTreeSet::from(["card-mill", "ghost-store"]), "{lockouts}");

    let more = std::fs::read_to_string(&sample).unwrap();
    let more: String = more.lines().map(|line| format!("{line},warehouse\n")).collect();
    let looked = stockade(&["map", text(&written(directory.path(), "more.csv", more)), "--history"]);
    let shown = String::from_utf8_lossy(&looked.stdout).into_owned();
    assert!(shown.contains("\ncolumns not used: warehouse\n"), "{shown}");
    assert!(shown.contains("# Columns not used: warehouse\n"), "{shown}");
}

#[test]
fn what_map_says_to_do_with_inventory_names_the_supplier_and_the_mapping_that_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), "my stock.csv", "Artikel;Bestand;Farbe\na-1;5;rot\n");
    let mapping = directory.path().join("mapping.yaml");
    let said = |args: &[&str]| {
        let output = stockade(&[&["map", text(&file)], args].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let looked = said(&[]);
    assert!(looked.contains("# Columns not used: Farbe\n"), "{looked}");
    assert!(looked.contains("--out mapping.yaml`") && looked.contains("--supplier SUPPLIER"), "{looked}");
    let kept = said(&["--out", text(&mapping)]);
    assert!(kept.contains("was written to") && !kept.contains("--out"), "{kept}");
    let again = said(&["--mapping", text(&mapping)]);
    let line = format!(
        "`stockade push '{}' --supplier SUPPLIER --mapping {}` sends it",
        text(&file),
        text(&mapping)
    );
    assert!(again.contains(&line), "{again}");
}

#[test]
fn shipped_mappings_take_the_files_they_are_for() {
    let directory = tempfile::tempdir().unwrap();
    let shapes = shapes();
    for (mapping, file, suppliers) in [
        ("online-retail", "online_retail_ii.csv", 1),
        ("superstore", "superstore.csv", 1),
        ("dataco", "dataco.csv", 3),
    ] {
        let (name, bytes, rows, orders) = shapes.iter().find(|(name, ..)| *name == file).unwrap();
        let file = written(directory.path(), name, bytes);
        let report = last_json(&replayed(&file, &here(&format!("mappings/{mapping}.yaml")), &["--strict"]));
        let found = (&report["rows"], &report["orders"], &report["suppliers"]);
        assert_eq!(found, (&(*rows).into(), &(*orders).into(), &suppliers.into()), "{mapping}: {report}");
    }
}

const PLAIN: &str = "{name: t, currency: EUR, time: at, supplier: {id: who, region: {constant: DE}},
  listing: {sku: good, price: price, on_hand: 10},
  events: [{kind: placed, at: {column: at}, order: order, quantity: units, amount: price}]}";

#[test]
fn refused_rows_are_counted_by_reason_kept_in_a_file_and_end_nothing_unless_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut rows = String::from("order,at,who,good,units,price\n");
    for n in 0..40 {
        writeln!(rows, "o-{n},{},shop-{},g,1,2.50", iso(n, "08:00:00"), n % 3).unwrap();
    }
    rows.push_str("o-40,soon,shop-1,g,1,2.50\no-41,,shop-1,g,1,2.50\no-42,2018-03-01,shop 1,g,1,2.50\n");
    rows.push_str("o-43,2018-03-01,shop-1,g,0,2.50\no-44,2018-03-01,shop-1,g,1,free\no-45,2018-03-01\n");
    rows.push_str("o 46,2018-03-01,shop-1,g,1,2.50\n");
    let file = written(directory.path(), "orders.csv", rows);
    let mapping = written(directory.path(), "mapping.yaml", PLAIN);
    let refused = directory.path().join("refused.csv");
    let output = replayed(&file, &mapping, &["--refused", text(&refused)]);
    let report = last_json(&output);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((&report["orders"], &report["refused"]["rows"]), (&40.into(), &7.into()), "{report}");
    let reasons: BTreeMap<String, u64> = report["refused"]["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["reason"].as_str().unwrap().to_owned(), one["count"].as_u64().unwrap()))
        .collect();
    let expected = [
        ("bad_quantity", 1),
        ("bad_time", 1),
        ("cell_count", 1),
        ("id_character", 2),
        ("missing_time", 1),
        ("not_a_number", 2),
    ];
    assert_eq!(
        reasons,
        expected.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        "{report}"
    );
    let bad_time =
        report["refused"]["reasons"].as_array().unwrap().iter().find(|one| one["reason"] == "bad_time");
    let example = &bad_time.unwrap()["examples"][0];
    assert_eq!(
        (&example["line"], &example["column"], &example["value"]),
        (&42.into(), &"at".into(), &"soon".into())
    );
    let kept = std::fs::read_to_string(&refused).unwrap();
    assert!(kept.starts_with("order,at,who,good,units,price,refused_line,refused_reason\n"), "{kept}");
    assert!(kept.contains("o-40,soon,shop-1,g,1,2.50,42,\"bad_time: "), "{kept}");
    assert!(kept.contains("o 46,2018-03-01,shop-1,g,1,2.50,48,\"id_character: "), "{kept}");
    let lines: BTreeSet<&str> = kept.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(lines.len(), 7, "{kept}");

    let people = stockade(&["replay", "--input", text(&file), "--mapping", text(&mapping)]);
    let shown = String::from_utf8_lossy(&people.stdout).into_owned();
    assert!(shown.contains("1 refused: bad_time\n    line 42, column at, \"soon\": "), "{shown}");
    let strict = replayed(&file, &mapping, &["--strict"]);
    assert!(!strict.status.success() && said(&strict).contains("without --strict"), "{strict:?}");
    let evaluated = stockade(&["evaluate", "--json", "--input", text(&file), "--mapping", text(&mapping)]);
    assert_eq!(last_json(&evaluated)["refused"]["rows"], 7, "{evaluated:?}");
}

#[test]
fn a_history_of_which_more_than_half_is_refused_fails_aloud() {
    let directory = tempfile::tempdir().unwrap();
    let row = |n: u32, who: &str| format!("o-{n},{},{who},g,1,2.50\n", iso(n, "08:00:00"));
    let rows: String = (0..30).map(|n| row(n, if n % 3 == 0 { "shop" } else { "a shop" })).collect();
    let file = written(directory.path(), "orders.csv", format!("order,at,who,good,units,price\n{rows}"));
    let mapping = written(directory.path(), "mapping.yaml", PLAIN);
    let output = replayed(&file, &mapping, &[]);
    assert!(!output.status.success() && said(&output).contains("20 of 30 rows were refused"), "{output:?}");
    assert_eq!(last_json(&output)["refused"]["rows"], 20);
    let rows: String = (0..1_100).map(|n| row(n % 300, "a shop")).collect();
    let file = written(directory.path(), "none.csv", format!("order,at,who,good,units,price\n{rows}"));
    let output = replayed(&file, &mapping, &[]);
    assert!(!output.status.success() && said(&output).contains("does not fit the file"), "{output:?}");
}

#[test]
fn what_cannot_be_read_at_all_is_said_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let d = directory.path();
    let mapping = written(d, "mapping.yaml", PLAIN);
    let header = "order,at,who,good,units,price\n";
    let row = |n: u32, at: &str| format!("o-{n},{at},shop-1,g,1,2.50\n");
    let ambiguous: String = (1..10).map(|n| row(n, &format!("{n}/2/2011"))).collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let noise: String = (0..20_000).map(|n| row(n * 7_919 % 100_003, &iso(n / 100, "08:00:00"))).collect();
    packed.write_all(format!("{header}{noise}").as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let files = [
        ("ambiguous.csv", format!("{header}{ambiguous}").into_bytes(), "times: { format: m/d/yyyy h:mm }"),
        ("empty.csv", Vec::new(), "the file is empty"),
        ("header.csv", header.as_bytes().to_vec(), "has no times"),
        ("cut.csv.gz", packed[..packed.len() / 2].to_vec(), "ends in its middle"),
        (
            "twice.csv",
            b"order,at,who,good,units,price,at\no,2018-01-01,s,g,1,2,2018-01-01\n".to_vec(),
            "more than once",
        ),
        (
            "lacks.csv",
            b"order,at,who,goods,units,price\no,2018-01-01,s,g,1,2\n".to_vec(),
            "did you mean goods?",
        ),
        (
            "none.csv",
            format!("{header}{}", row(1, "2018-01-01").replace("shop-1", "shop 1")).into_bytes(),
            "none of the rows could be taken; the first: line 2, column who, \"shop 1\"",
        ),
        ("rows.ndjson", b"{\"order\":1}\n".to_vec(), "is ndjson, no table"),
    ];
    for (name, bytes, expected) in files {
        let output = replayed(&written(d, name, bytes), &mapping, &[]);
        assert!(!output.status.success() && said(&output).contains(expected), "{name}: {}", said(&output));
        let said = said(&output);
        assert!(!["Finding", "Error(", "Option", "struct"].iter().any(|word| said.contains(word)), "{said}");
    }
    let output = replayed(&d.join("nowhere.csv"), &mapping, &[]);
    assert!(said(&output).contains("nowhere.csv; check --input"), "{output:?}");
}

#[test]
fn a_line_without_an_end_and_lines_of_another_encoding_cost_only_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let mapping = written(directory.path(), "mapping.yaml", PLAIN);
    let mut bytes = "order,at,who,good,units,price\n".as_bytes().to_vec();
    for n in 0..20 {
        bytes.extend(format!("o-{n},{},shop-1,grün,1,2.50\n", iso(n, "08:00:00")).as_bytes());
    }
    bytes.extend(std::iter::repeat_n(b'x', 8 << 20));
    bytes.push(b'\n');
    bytes.extend(latin("o-20,2018-03-01,shop-1,gr\u{fc}n,1,2.50\n"));
    let report = last_json(&replayed(&written(directory.path(), "orders.csv", bytes), &mapping, &[]));
    let reasons: Vec<&str> = report["refused"]["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["reason"].as_str().unwrap())
        .collect();
    assert_eq!(
        (&report["orders"], reasons),
        (&20.into(), vec!["line_too_long", "mixed_encoding"]),
        "{report}"
    );
}

const NINE: [&str; 9] = [
    "olist_orders_dataset.csv",
    "olist_order_items_dataset.csv",
    "olist_order_reviews_dataset.csv",
    "olist_order_payments_dataset.csv",
    "olist_customers_dataset.csv",
    "olist_sellers_dataset.csv",
    "olist_products_dataset.csv",
    "olist_geolocation_dataset.csv",
    "product_category_name_translation.csv",
];

/// One order item, with everything that the nine files say of it.
#[derive(Clone)]
struct Item {
    cells: BTreeMap<&'static str, String>,
}

impl Item {
    fn get(&self, name: &str) -> &str {
        self.cells.get(name).map_or("", String::as_str)
    }
}

/// The nine files as they are downloaded: quoted, each with its own columns, in no order of time.
fn nine(directory: &Path, items: &[Item]) {
    let headers = [
        "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date",
        "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value",
        "review_id,order_id,review_score,review_comment_title,review_comment_message,review_creation_date,review_answer_timestamp",
        "order_id,payment_sequential,payment_type,payment_installments,payment_value",
        "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state",
        "seller_id,seller_zip_code_prefix,seller_city,seller_state",
        "product_id,product_category_name,product_name_lenght,product_description_lenght,product_photos_qty,product_weight_g,product_length_cm,product_height_cm,product_width_cm",
        "geolocation_zip_code_prefix,geolocation_lat,geolocation_lng,geolocation_city,geolocation_state",
        "\u{feff}product_category_name,product_category_name_english",
    ];
    let mut lines: Vec<BTreeSet<String>> = vec![BTreeSet::new(); 9];
    for item in items {
        let g = |name: &str| item.get(name).to_owned();
        let (order, category) = (g("order_id"), g("category"));
        let local = if category.is_empty() { String::new() } else { format!("pt_{category}") };
        lines[0].insert(format!(
            "\"{order}\",\"k-{order}\",{},{},{},{},{},{}",
            g("status"),
            g("purchased_at"),
            g("approved_at"),
            g("handed_to_carrier_at"),
            g("delivered_at"),
            g("estimated_delivery_at")
        ));
        lines[1].insert(format!(
            "\"{order}\",{},\"{}\",\"{}\",{},{},{}",
            g("item_no"),
            g("product_id"),
            g("seller_id"),
            g("ship_by"),
            g("price"),
            g("freight")
        ));
        if !g("review_score").is_empty() {
            // Somebody who first said something else, over two lines.
            lines[2].insert(format!(
                "r1-{order},\"{order}\",3,,\"first,\nthen\",2016-01-01 00:00:00,2016-01-01 00:00:01"
            ));
            lines[2].insert(format!(
                "r0-{order},\"{order}\",{},,,{1},{1}",
                g("review_score"),
                g("reviewed_at")
            ));
        }
        lines[3].insert(format!("\"{order}\",1,credit_card,8,{}", g("price")));
        lines[4].insert(format!("k-{order},\"{}\",14409,franca,{}", g("buyer_id"), g("buyer_state")));
        lines[5].insert(format!("\"{}\",13023,campinas,{}", g("seller_id"), g("seller_state")));
        lines[6].insert(format!("\"{}\",{local},40,287,1,225,16,10,14", g("product_id")));
        if !category.is_empty() {
            lines[8].insert(format!("{local},{category}"));
        }
    }
    lines[7].insert("1037,-23.54,-46.63,sao paulo,SP".to_owned());
    for ((name, header), lines) in NINE.iter().zip(headers).zip(lines) {
        let lines: Vec<String> = lines.into_iter().collect();
        std::fs::write(directory.join(name), format!("{header}\n{}\n", lines.join("\n"))).unwrap();
    }
}

/// What a joined and a raw history must have in common.
fn figures(report: &Value) -> Vec<Value> {
    ["rows", "events", "orders", "suppliers", "listings", "lockouts", "values_not_yet_known"]
        .map(|name| report[name].clone())
        .into_iter()
        .chain([report["refused"]["rows"].clone()])
        .collect()
}

const JOINED: &str = "order_id,item_no,seller_id,seller_state,buyer_id,buyer_state,product_id,category,price,freight,status,purchased_at,approved_at,ship_by,handed_to_carrier_at,delivered_at,estimated_delivery_at,review_score,reviewed_at";

fn raw_as_joined(joined: &Path, items: &[Item]) {
    let directory = tempfile::tempdir().unwrap();
    nine(directory.path(), items);
    let olist = last_json(&replayed(joined, &here("mappings/olist.yaml"), &[]));
    let output = replayed(directory.path(), &here("mappings/olist-raw.yaml"), &[]);
    assert!(output.status.success(), "{output:?}");
    let raw = last_json(&output);
    assert_eq!(figures(&raw), figures(&olist), "raw {raw}\njoined {olist}");
}

#[test]
fn nine_files_are_one_history_and_play_as_the_joined_one_does() {
    let directory = tempfile::tempdir().unwrap();
    let mut joined = format!("{JOINED}\n");
    let names: Vec<&'static str> = JOINED.split(',').collect();
    let mut items = Vec::new();
    for n in 0..120_u32 {
        let at = |more: u32, time: &str| iso(n / 2 + more, time);
        // Some orders have two items, of two sellers; some goods have no category, some orders no review, some no hand-over.
        let order = n - u32::from(n % 10 == 1);
        let delivered = !order.is_multiple_of(15);
        let when = |there: bool, text: String| if there { text } else { String::new() };
        let cells = [
            format!("{order:032}"),
            (1 + n - order).to_string(),
            format!("s{:031}", n % 6),
            "SP".to_owned(),
            format!("b{:031}", order % 50),
            "RJ".to_owned(),
            format!("p{:031}", n % 7),
            when(n % 7 != 3, format!("kind_{}", n % 7)),
            format!("{}.90", 20 + n % 7),
            "8.72".to_owned(),
            if delivered { "delivered" } else { "canceled" }.to_owned(),
            iso(order / 2, "10:00:00"),
            iso(order / 2, "10:20:00"),
            at(4, "10:20:00"),
            when(delivered, iso(order / 2 + 2, "12:00:00")),
            when(delivered, iso(order / 2 + 9, "12:00:00")),
            iso(order / 2 + 8, "00:00:00"),
            when(order % 4 != 0, (1 + order % 5).to_string()),
            when(order % 4 != 0, iso(order / 2 + 11, "09:00:00")),
        ];
        let stamped = |cell: &String| {
            if cell.len() == 19 && cell.contains(' ') {
                format!("{}Z", cell.replace(' ', "T"))
            } else {
                cell.clone()
            }
        };
        writeln!(joined, "{}", cells.iter().map(stamped).collect::<Vec<_>>().join(",")).unwrap();
        items.push(Item { cells: names.iter().copied().zip(cells).collect() });
    }
    let joined = written(directory.path(), "joined.csv", joined);
    raw_as_joined(&joined, &items);

    // The same by name, and what is missing is named.
    nine(directory.path(), &items);
    let orders = format!("orders={}", text(&directory.path().join(NINE[0])));
    let others: Vec<String> =
        [1, 2, 4, 5, 6].map(|at| text(&directory.path().join(NINE[at])).to_owned()).to_vec();
    let mapping = here("mappings/olist-raw.yaml");
    let mut args = vec!["replay", "--json", "--mapping", text(&mapping), "--input", &orders];
    others.iter().for_each(|path| args.extend(["--input", path.as_str()]));
    let output = stockade(&args);
    assert!(said(&output).contains("translation=FILE"), "{output:?}");
    let translation = directory.path().join(NINE[8]);
    args.extend(["--input", text(&translation)]);
    assert!(stockade(&args).status.success());
}

#[test]
fn the_real_history_split_into_its_nine_files_plays_as_it_does_joined() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/olist/order_items.csv.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("skipped: the Olist history is not here; it may not be redistributed");
        return;
    };
    let mut joined = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut joined).unwrap();
    let names: Vec<&'static str> = JOINED.split(',').collect();
    assert_eq!(joined.lines().next(), Some(JOINED));
    let plain = |cell: &str| match cell.strip_suffix('Z') {
        Some(stamp) if cell.len() == 20 => stamp.replace('T', " "),
        _ => cell.to_owned(),
    };
    let items: Vec<Item> = joined
        .lines()
        .skip(1)
        .map(|line| Item { cells: names.iter().copied().zip(line.split(',').map(plain)).collect() })
        .collect();
    raw_as_joined(&path, &items);
}

#[test]
fn a_real_shop_s_lines_are_taken_with_their_returns() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = data.join("online-retail/lines.csv.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("skipped: the Online Retail history is not here");
        return;
    };
    // The first weeks, with the columns and times as they are downloaded.
    let mut lines = String::new();
    flate2::read::MultiGzDecoder::new(file).take(3 << 20).read_to_string(&mut lines).unwrap();
    let mut raw =
        String::from("Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n");
    let rows = lines.lines().skip(1).count() - 1;
    for line in lines.lines().skip(1).take(rows) {
        let at = line.find(",2010-").or_else(|| line.find(",2011-")).unwrap() + 1;
        let stamp = &line[at..at + 20];
        let number = |from: usize, to: usize| stamp[from..to].parse::<u32>().unwrap();
        let us = format!(
            "{}/{}/{} {}:{:02}",
            number(5, 7),
            number(8, 10),
            &stamp[..4],
            number(11, 13),
            number(14, 16)
        );
        writeln!(raw, "{}{us}{}", &line[..at], &line[at + 20..]).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), "online_retail_II.csv", raw);
    let report = last_json(&replayed(&file, &here("mappings/online-retail.yaml"), &[]));
    let figure = |name: &str| report[name].as_u64().unwrap();
    assert_eq!((figure("rows"), &report["refused"]["rows"]), (rows as u64, &0.into()), "{report}");
    let placed_and_returned = figure("orders") < figure("events") && figure("orders") * 10 > rows as u64 * 9;
    assert!(placed_and_returned, "{report}");
}
