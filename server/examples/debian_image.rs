//! Builds a Debian image into a file, with the recipe of `berth-server admin images build-debian` but without an
//! installation: `debian_image bookworm debian-12.tar.zst`. The tests take their guests from such files.

use std::path::Path;

use anyhow::{Context, bail};
use berth_server::images::debian::{self, DEFAULT_MIRROR, Suite};
use clap::ValueEnum;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(suite), Some(file)) = (arguments.next(), arguments.next()) else {
        bail!("usage: debian_image bookworm|trixie FILE.tar.zst");
    };
    let suite = Suite::from_str(&suite, true).map_err(anyhow::Error::msg).context("the suite")?;
    let file = Path::new(&file);
    // Whole or not there: the file appears by rename.
    let partial = file.with_extension("partial");
    debian::build(suite, DEFAULT_MIRROR, &partial).await.map_err(|e| anyhow::anyhow!("{e}"))?;
    std::fs::rename(&partial, file).with_context(|| format!("naming {}", file.display()))
}
