//! `hublake docs`: the project's catalogue as one page of HTML.

mod lineage;
mod page;

use std::fs;
use std::path::{Path, PathBuf};

use super::args::{Common, DocsArgs};
use super::failure::Failure;
use super::project;
use crate::pipeline::{self, Outcome};

/// Where the page goes unless told otherwise, under the project's folder.
const FOLDER: &str = "target/docs";

/// Writes the catalogue; HubSpot is not called and nothing in the lake changes.
pub(super) async fn run(args: &DocsArgs, common: &Common) -> Result<Outcome, Failure> {
    let project = project::load(common)?;
    let lake = project::open_lake(&project).await?;
    let catalogue = pipeline::catalogue(&project, &lake).await?;
    let folder = args.out.clone().unwrap_or_else(|| project.dir.join(FOLDER));
    let file = write(&folder, &page::page(&catalogue)).map_err(|error| {
        let text = format!("`{}` could not be written: {error}", folder.display());
        Failure::new(Outcome::Failed, text).advise("name another folder with `--out`")
    })?;
    for problem in &catalogue.problems {
        eprintln!("! {problem}");
    }
    println!("{}", file.display());
    Ok(Outcome::Succeeded)
}

fn write(folder: &Path, html: &str) -> std::io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let file = folder.join("index.html");
    fs::write(&file, html)?;
    Ok(file)
}
