//! Writes the table of the built pages, which lie in `web/dist`, so that the library can embed whatever names they have.

use std::{env, fmt::Write as _, fs, path::Path};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("web/dist");
    println!("cargo:rerun-if-changed=web/dist");
    let mut table = String::from("&[\n");
    let mut add = |folder: &Path, prefix: &str| -> Result<(), Box<dyn std::error::Error>> {
        let mut paths: Vec<_> =
            fs::read_dir(folder)?.map(|entry| entry.map(|of| of.path())).collect::<Result<_, _>>()?;
        paths.sort();
        for path in paths.iter().filter(|path| path.is_file()) {
            let name = path.file_name().ok_or("a file without a name")?.to_string_lossy();
            writeln!(table, "    ({:?}, include_bytes!({:?})),", format!("{prefix}{name}"), path)?;
        }
        Ok(())
    };
    add(&dist, "")?;
    add(&dist.join("assets"), "assets/")?;
    table.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("embedded.rs"), table)?;
    Ok(())
}
