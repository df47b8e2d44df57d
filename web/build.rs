//! Makes sure that `dist/` exists, so that cargo alone compiles: without a build of the assets the pages are plain.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=dist");
    println!("cargo:rerun-if-changed=templates");
    let manifest = Path::new("dist/manifest.json");
    if !manifest.exists() {
        fs::create_dir_all("dist")?;
        fs::write(manifest, "{}\n")?;
        println!(
            "cargo:warning=the dashboard's assets are not built: npm ci --ignore-scripts && npm run build in web/"
        );
    }
    Ok(())
}
