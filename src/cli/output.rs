//! Results on stdout: a table for people, JSON, CSV or Parquet for programs.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;

use super::args::Format;
use super::failure::Failure;
use crate::pipeline::Outcome;

/// Rows a table shows before it says that there are more.
const TABLE_ROWS: usize = 1_000;
/// How a table shows that there is no value.
const NULL_IN_TABLE: &str = "";

/// Prints a stream of rows in the form asked for; how many rows there were.
pub(super) async fn print(
    mut rows: SendableRecordBatchStream,
    format: Format,
    limit: Option<usize>,
) -> Result<usize, Failure> {
    let schema = rows.schema();
    let pipe = Pipe::default();
    let mut printer = Printer::new(format, &schema, &pipe)?;
    let mut left = limit.unwrap_or(usize::MAX);
    let mut printed = 0;
    while left > 0
        && let Some(batch) = rows.next().await
    {
        let batch = batch.map_err(|error| Failure::new(Outcome::Failed, error))?;
        let batch = batch.slice(0, batch.num_rows().min(left));
        left -= batch.num_rows();
        printed += batch.num_rows();
        printer.write(&batch)?;
        if pipe.is_gone() {
            return Ok(printed);
        }
    }
    printer.finish()?;
    Ok(printed)
}

/// Prints batches that are in memory already.
pub(super) fn print_batch(batch: &RecordBatch, format: Format) -> Result<(), Failure> {
    let pipe = Pipe::default();
    let mut printer = Printer::new(format, &batch.schema(), &pipe)?;
    printer.write(batch)?;
    printer.finish()
}

/// Stdout. Once nobody reads it any more it swallows what is written and says
/// so when asked: `hublake query … | head` is no error.
#[derive(Clone, Default)]
struct Pipe(Arc<AtomicBool>);

impl Pipe {
    fn is_gone(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn forgive(&self, written: io::Result<()>) -> io::Result<()> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.0.store(true, Ordering::Relaxed);
                Ok(())
            }
            written => written,
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if !self.is_gone() {
            self.forgive(io::stdout().write_all(text))?;
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_gone() { Ok(()) } else { self.forgive(io::stdout().flush()) }
    }
}

/// Prints text as it is on stdout.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut out = Pipe::default();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| failed(e.into()))
}

type Stdout = BufWriter<Pipe>;

enum Printer {
    Table { schema: SchemaRef, batches: Vec<RecordBatch>, rows: usize, hidden: usize },
    Json(Box<LineDelimitedWriter<Stdout>>),
    Csv(Box<arrow::csv::Writer<Stdout>>),
    Parquet(Box<ArrowWriter<Stdout>>),
}

impl Printer {
    fn new(format: Format, schema: &SchemaRef, pipe: &Pipe) -> Result<Self, Failure> {
        let out = BufWriter::new(pipe.clone());
        Ok(match format {
            Format::Table => {
                Self::Table { schema: schema.clone(), batches: Vec::new(), rows: 0, hidden: 0 }
            }
            Format::Json => Self::Json(Box::new(LineDelimitedWriter::new(out))),
            Format::Csv => {
                let mut writer = WriterBuilder::new().with_header(true).build(out);
                // The header stands even where no row follows.
                writer
                    .write(&flat(&RecordBatch::new_empty(schema.clone())).map_err(failed)?)
                    .map_err(failed)?;
                Self::Csv(Box::new(writer))
            }
            Format::Parquet => Self::Parquet(Box::new(
                ArrowWriter::try_new(out, schema.clone(), None)
                    .map_err(|e| Failure::new(Outcome::Failed, e))?,
            )),
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let written = match self {
            Self::Table { batches, rows, hidden, .. } => {
                let shown = batch.num_rows().min(TABLE_ROWS.saturating_sub(*rows));
                *rows += shown;
                *hidden += batch.num_rows() - shown;
                batches.push(batch.slice(0, shown));
                Ok(())
            }
            Self::Json(writer) => writer.write(batch),
            Self::Csv(writer) => flat(batch).and_then(|batch| writer.write(&batch)),
            Self::Parquet(writer) => writer.write(batch).map_err(ArrowError::from),
        };
        written.map_err(failed)
    }

    fn finish(self) -> Result<(), Failure> {
        let finished = match self {
            Self::Table { schema, batches, hidden, .. } => print_table(&schema, &batches, hidden),
            Self::Json(mut writer) => {
                writer.finish().and_then(|()| Ok(writer.into_inner().flush()?))
            }
            Self::Csv(writer) => writer.into_inner().flush().map_err(ArrowError::from),
            Self::Parquet(writer) => {
                writer.into_inner().map_err(ArrowError::from).and_then(|mut out| Ok(out.flush()?))
            }
        };
        finished.map_err(failed)
    }
}

fn failed(error: ArrowError) -> Failure {
    Failure::new(Outcome::Failed, error)
}

fn print_table(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    hidden: usize,
) -> Result<(), ArrowError> {
    let empty = RecordBatch::new_empty(schema.clone());
    let shown: Vec<RecordBatch> = if batches.is_empty() { vec![empty] } else { batches.to_vec() };
    let options = FormatOptions::default().with_null(NULL_IN_TABLE);
    let table = pretty_format_batches_with_options(&shown, &options)?;
    let mut out = Pipe::default();
    writeln!(out, "{table}")?;
    if hidden > 0 {
        writeln!(out, "{hidden} more rows; use --limit, or --output csv for all")?;
    }
    Ok(())
}

/// Lists, maps and structs as text: CSV has no other form for them.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            fields.push(Field::new(field.name(), DataType::Utf8, true));
            columns.push(Arc::new(as_text(column)?));
        } else {
            fields.push(field.as_ref().clone());
            columns.push(column.clone());
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn as_text(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let rows = 0..column.len();
    Ok(rows.map(|row| column.is_valid(row).then(|| formatter.value(row).to_string())).collect())
}
