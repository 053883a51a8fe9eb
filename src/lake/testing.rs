//! What the tests of this room share: lakes in memory, rows, and stores that fail.

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use async_trait::async_trait;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use url::Url;

use super::{Lake, LakeConfig, Table, TableName, TableSpec};

/// A lake over a store, at a root of its own.
pub(super) fn lake_over(store: Arc<dyn ObjectStore>) -> Lake {
    let url = Url::parse("memory:///lake/").expect("a URL");
    Lake::over(store, url, &LakeConfig::default(), FilePath::new(".")).expect("a lake")
}

pub(super) fn memory_lake() -> Lake {
    lake_over(Arc::new(InMemory::new()))
}

/// One row of the tests' table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Person {
    pub(super) id: i64,
    pub(super) name: Option<String>,
    pub(super) score: Option<f64>,
    pub(super) updated_at: Option<i64>,
    pub(super) synced_at: Option<i64>,
}

impl Person {
    pub(super) fn new(id: i64, name: &str, updated_at: i64) -> Self {
        Self {
            id,
            name: Some(name.to_owned()),
            score: None,
            updated_at: Some(updated_at),
            synced_at: None,
        }
    }
}

pub(super) fn person_schema() -> Arc<Schema> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("score", DataType::Float64, true),
        Field::new("updated_at", time.clone(), true),
        Field::new("_synced_at", time, true),
    ]))
}

pub(super) fn person_spec() -> TableSpec {
    TableSpec {
        name: TableName::hubspot("people"),
        schema: person_schema(),
        key: vec!["id".into()],
        partition_by: Vec::new(),
    }
}

pub(super) fn people(rows: &[Person]) -> RecordBatch {
    let times = |times: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.id)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.name.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.score).collect::<Float64Array>()),
        times(rows.iter().map(|row| row.updated_at).collect()),
        times(rows.iter().map(|row| row.synced_at).collect()),
    ];
    RecordBatch::try_new(person_schema(), columns).expect("columns of the schema")
}

/// A batch of ids alone.
pub(super) fn ids(ids: &[i64]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    RecordBatch::try_from_iter([("id", ids)]).expect("one column")
}

/// Everything a table holds, in one batch.
pub(super) async fn contents(table: &Table) -> RecordBatch {
    let rows = table.scan(None, None).await.expect("a scan");
    let schema = rows.schema();
    let rows: Vec<_> = rows.try_collect().await.expect("rows");
    concat_batches(&schema, &rows).expect("batches of one schema")
}

/// The people a table holds, by id.
pub(super) async fn stored_people(table: &Table) -> Vec<Person> {
    let rows = contents(table).await;
    let ids = rows.column(0).as_primitive::<Int64Type>();
    let names = rows.column(1).as_string::<i32>();
    let scores = rows.column(2).as_primitive::<arrow::datatypes::Float64Type>();
    let micros = |column: usize, row: usize| {
        let times = rows.column(column);
        let times = times.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
        times.is_valid(row).then(|| times.value(row))
    };
    let person = |row: usize| Person {
        id: ids.value(row),
        name: names.is_valid(row).then(|| names.value(row).to_owned()),
        score: scores.is_valid(row).then(|| scores.value(row)),
        updated_at: micros(3, row),
        synced_at: micros(4, row),
    };
    let mut people: Vec<_> = (0..rows.num_rows()).map(person).collect();
    people.sort_by_key(|person| person.id);
    people
}

/// What a failing store does with the put that it is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Refuses it
    Refuse,
    /// Does it, then answers as if it had not
    DoThenFail,
}

/// A store whose n-th put fails, and every one after it if it is to stay down.
#[derive(Debug)]
pub(super) struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    puts: AtomicUsize,
    fail_at: AtomicUsize,
    fault: Fault,
    stays_down: bool,
}

impl FaultyStore {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, fault: Fault, stays_down: bool) -> Self {
        let never = AtomicUsize::new(usize::MAX);
        Self { inner, puts: AtomicUsize::new(0), fail_at: never, fault, stays_down }
    }

    /// Fails the n-th put from now, counted from 0.
    pub(super) fn fail_put(&self, n: usize) {
        self.puts.store(0, Ordering::SeqCst);
        self.fail_at.store(n, Ordering::SeqCst);
    }

    /// Puts since the last call of [`FaultyStore::fail_put`].
    pub(super) fn puts(&self) -> usize {
        self.puts.load(Ordering::SeqCst)
    }

    fn fails(&self) -> bool {
        let (put, at) =
            (self.puts.fetch_add(1, Ordering::SeqCst), self.fail_at.load(Ordering::SeqCst));
        put == at || (self.stays_down && put > at)
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if !self.fails() {
            return self.inner.put_opts(location, payload, options).await;
        }
        if self.fault == Fault::DoThenFail {
            self.inner.put_opts(location, payload, options).await?;
        }
        Err(object_store::Error::Generic { store: "faulty", source: "the line went dead".into() })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
