//! Writes every page with sample data as files, to look at without a server: `cargo run -p berth-web --example gallery -- DIR`.
//! Links to assets begin with `/assets/`; serve DIR with `web/dist` at that path.

#[path = "../tests/sample/mod.rs"]
mod sample;

fn main() -> std::io::Result<()> {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "gallery".to_owned()));
    std::fs::create_dir_all(&dir)?;
    for (name, html) in sample::full().into_iter().chain(sample::empty()) {
        std::fs::write(dir.join(format!("{name}.html")), html)?;
    }
    for (name, html) in sample::operators::hostile("\"><script>alert('x')</script>") {
        std::fs::write(dir.join(format!("hostile-{name}.html")), html)?;
    }
    Ok(())
}
