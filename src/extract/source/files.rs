//! Where a source's files are, and how they are written.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::StreamExt;
use object_store::ObjectStoreExt;

use super::SourceError;
use super::config::{Format, Place, SourceConfig};
use crate::lake::object_store_for;

/// Files looked at to learn how a folder's files end; a folder that mixes
/// endings shows it early.
const FILES_LOOKED_AT: usize = 1_000;

/// The files of one source.
pub(super) struct Files {
    pub(super) url: ListingTableUrl,
    /// The same for people: a path or a URL, without secrets.
    pub(super) location: String,
    format: Format,
    ending: String,
    compression: FileCompressionType,
}

impl Format {
    /// What people call it.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::Ndjson => "NDJSON",
        }
    }

    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Parquet => &[".parquet"],
            Self::Csv => &[".csv", ".csv.gz", ".csv.zst"],
            Self::Ndjson => &[
                ".ndjson",
                ".jsonl",
                ".json",
                ".ndjson.gz",
                ".jsonl.gz",
                ".json.gz",
                ".ndjson.zst",
            ],
        }
    }

    /// The ending of a file of this format; the longest that fits.
    fn ending_of(self, path: &str) -> Option<&'static str> {
        let fits = self.endings().iter().filter(|ending| path.ends_with(**ending));
        fits.max_by_key(|ending| ending.len()).copied()
    }
}

impl Files {
    /// Finds the files of a source and learns how they end.
    pub(super) async fn find(
        name: &str,
        config: &SourceConfig,
        project_dir: &Path,
        runtime: &RuntimeEnv,
    ) -> Result<Self, SourceError> {
        let wrong =
            |problem: String| SourceError::Settings { source_name: name.to_owned(), problem };
        let Some(Place::Files(format, place)) = config.place() else {
            return Err(wrong("`parquet`, `csv` or `ndjson` is needed".into()));
        };
        let url = listing_url(place, format, project_dir)
            .map_err(|error| wrong(error.strip_backtrace()))?;
        register_store(name, &url, config, project_dir, runtime)?;
        let endings =
            endings_at(format, &url, runtime).await.map_err(|error| SourceError::Unreadable {
                source_name: name.to_owned(),
                location: place.to_owned(),
                source: Box::new(error),
            })?;
        let source_name = name.to_owned();
        let location = place.to_owned();
        let mut endings = endings.into_iter();
        match (endings.next(), endings.next()) {
            (None, _) => Err(SourceError::Absent { source_name, kind: format.kind(), location }),
            (Some(ending), None) => {
                Ok(Self { url, location, format, compression: compression_of(&ending), ending })
            }
            (Some(first), Some(second)) => {
                let endings = [first, second].into_iter().chain(endings).collect();
                Err(SourceError::Mixed { source_name, location, endings })
            }
        }
    }

    /// How the engine lists and reads them.
    pub(super) fn options(&self, config: &SourceConfig) -> ListingOptions {
        let partitions = config.partition_by.iter().filter_map(|column| column.column()).collect();
        ListingOptions::new(self.file_format(config))
            .with_file_extension(&self.ending)
            .with_table_partition_cols(partitions)
    }

    fn file_format(&self, config: &SourceConfig) -> Arc<dyn FileFormat> {
        match self.format {
            Format::Parquet => Arc::new(ParquetFormat::default()),
            Format::Csv => Arc::new(
                CsvFormat::default()
                    .with_has_header(config.has_header)
                    .with_delimiter(config.delimiter as u8)
                    .with_null_regex(null_pattern(&config.null_values))
                    .with_newlines_in_values(true)
                    .with_file_compression_type(self.compression),
            ),
            Format::Ndjson => {
                Arc::new(JsonFormat::default().with_file_compression_type(self.compression))
            }
        }
    }
}

/// A pattern for the texts that mean no value.
fn null_pattern(texts: &[String]) -> Option<String> {
    if texts.is_empty() {
        return None;
    }
    let escaped: Vec<String> = texts.iter().map(|text| escape(text)).collect();
    Some(format!("^(?:{})?$", escaped.join("|")))
}

/// A text as a pattern that matches it alone.
fn escape(text: &str) -> String {
    let mut pattern = String::new();
    for character in text.chars() {
        if !character.is_alphanumeric() && character.is_ascii() {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

fn compression_of(ending: &str) -> FileCompressionType {
    match ending.rsplit('.').next() {
        Some("gz") => FileCompressionType::GZIP,
        Some("zst") => FileCompressionType::ZSTD,
        _ => FileCompressionType::UNCOMPRESSED,
    }
}

fn listing_url(
    place: &str,
    format: Format,
    project_dir: &Path,
) -> Result<ListingTableUrl, DataFusionError> {
    if !place.contains("://") {
        let path = std::path::absolute(project_dir.join(place))?;
        return ListingTableUrl::parse(path.to_string_lossy());
    }
    // Stores have no folders to look at: what does not end like a file is one.
    let is_folder = !place.ends_with('/') && format.ending_of(place).is_none();
    ListingTableUrl::parse(if is_folder { format!("{place}/") } else { place.to_owned() })
}

/// Makes the store of a URL known; folders of this machine are known already.
fn register_store(
    name: &str,
    url: &ListingTableUrl,
    config: &SourceConfig,
    project_dir: &Path,
    runtime: &RuntimeEnv,
) -> Result<(), SourceError> {
    if url.scheme() == "file" {
        return Ok(());
    }
    let (store, _) =
        object_store_for(url.get_url(), &config.options, project_dir).map_err(|source| {
            SourceError::Storage {
                source_name: name.to_owned(),
                location: url.to_string(),
                source: Box::new(source),
            }
        })?;
    runtime.register_object_store(url.object_store().as_ref(), store);
    Ok(())
}

/// The different endings of the files at a URL that a format may have.
async fn endings_at(
    format: Format,
    url: &ListingTableUrl,
    runtime: &RuntimeEnv,
) -> Result<BTreeSet<String>, DataFusionError> {
    let store = runtime.object_store(url)?;
    if !url.is_collection() {
        let found = match store.head(url.prefix()).await {
            Ok(_) => format.ending_of(url.prefix().as_ref()).map(str::to_owned),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        return Ok(found.into_iter().collect());
    }
    let mut listing = store.list(Some(url.prefix())).take(FILES_LOOKED_AT);
    let mut endings = BTreeSet::new();
    while let Some(file) = listing.next().await {
        match file {
            Ok(file) if url.contains(&file.location, false) => {
                endings.extend(format.ending_of(file.location.as_ref()).map(str::to_owned));
            }
            Ok(_) => {}
            Err(object_store::Error::NotFound { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(endings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_ending_wins() {
        assert_eq!(Format::Csv.ending_of("a/b.csv.gz"), Some(".csv.gz"));
        assert_eq!(Format::Ndjson.ending_of("a/b.json"), Some(".json"));
        assert_eq!(Format::Parquet.ending_of("a/_SUCCESS"), None);
    }

    #[test]
    fn a_url_that_does_not_end_like_a_file_is_a_folder() {
        let url = |place| {
            listing_url(place, Format::Parquet, Path::new("/p")).expect("a URL").to_string()
        };
        assert_eq!(url("s3://acme/events"), "s3://acme/events/");
        assert_eq!(url("s3://acme/events/"), "s3://acme/events/");
        assert_eq!(url("s3://acme/e.parquet"), "s3://acme/e.parquet");
        assert_eq!(url("./no/such"), "file:///p/no/such");
    }

    #[test]
    fn null_texts_match_themselves_only() {
        assert_eq!(null_pattern(&[]), None);
        let pattern = null_pattern(&["N/A".into(), "\\N".into()]).expect("two texts");
        assert_eq!(pattern, "^(?:N\\/A|\\\\N)?$");
    }
}
