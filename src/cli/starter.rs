//! The project that `init` and `demo` write: the repository's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The settings file of a project.
const SETTINGS: &str = include_str!("../../hublake.yml");

/// Every other file of a project, by its path in it.
const FILES: &[(&str, &str)] = &[
    ("pipelines/usage.yml", include_str!("../../pipelines/usage.yml")),
    ("sql/account_usage.sql", include_str!("../../sql/account_usage.sql")),
    ("sql/company_write_back.sql", include_str!("../../sql/company_write_back.sql")),
    ("sql/contact_companies.sql", include_str!("../../sql/contact_companies.sql")),
    ("sql/contact_write_back.sql", include_str!("../../sql/contact_write_back.sql")),
    ("sql/customer_contacts.sql", include_str!("../../sql/customer_contacts.sql")),
    ("sql/deal_companies.sql", include_str!("../../sql/deal_companies.sql")),
    ("sql/id_edges.sql", include_str!("../../sql/id_edges.sql")),
    ("sql/id_map.sql", include_str!("../../sql/id_map.sql")),
    ("sql/lifecycle_suggestions.sql", include_str!("../../sql/lifecycle_suggestions.sql")),
    ("sql/master_accounts.sql", include_str!("../../sql/master_accounts.sql")),
    ("sql/master_customers.sql", include_str!("../../sql/master_customers.sql")),
    ("sql/pql_scores.sql", include_str!("../../sql/pql_scores.sql")),
    ("sql/pql_weights.sql", include_str!("../../sql/pql_weights.sql")),
    ("sql/stg_companies.sql", include_str!("../../sql/stg_companies.sql")),
    ("sql/stg_contacts.sql", include_str!("../../sql/stg_contacts.sql")),
    ("sql/stg_deals.sql", include_str!("../../sql/stg_deals.sql")),
    ("sql/stg_workspaces.sql", include_str!("../../sql/stg_workspaces.sql")),
    ("sql/usage_current.sql", include_str!("../../sql/usage_current.sql")),
    ("sql/usage_daily.sql", include_str!("../../sql/usage_daily.sql")),
];

/// Writes the project's files, with `settings` as its `hublake.yml`.
///
/// # Errors
/// A file that is there already, or a folder that cannot be written; nothing
/// is overwritten.
pub(super) fn write(dir: &Path, settings: &str) -> io::Result<Vec<PathBuf>> {
    let files: Vec<(PathBuf, &str)> = std::iter::once(("hublake.yml", settings))
        .chain(FILES.iter().copied())
        .map(|(path, text)| (dir.join(path), text))
        .collect();
    if let Some((taken, _)) = files.iter().find(|(path, _)| path.exists()) {
        let text = format!("`{}` is there already", taken.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    for (path, text) in &files {
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        fs::write(path, text)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// The settings a new project starts with.
pub(super) fn settings() -> &'static str {
    SETTINGS
}
