//! Pages of one object type's list, with every selected property.

use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::decode::{Page, Unreadable, decode_page};
use super::error::{ExtractError, reading};
use super::mirror::MirrorSchema;
use crate::hubspot::{self, BatchReadQuery, Body, Client, ErrorKind, ListQuery};
use crate::objects::ObjectType;

/// Characters of a list URL past which properties come by batch read instead:
/// 414s were seen from about 8,000 on.
const MAX_URL_LENGTH: usize = 7_500;

/// Records a page: the most the list gives.
const PAGE: u32 = 100;

/// Reads pages of one list; cheap to share between tasks.
pub(super) struct PageSource {
    pub(super) client: Client,
    pub(super) object: ObjectType,
    pub(super) schema: MirrorSchema,
    /// The properties to ask for.
    names: Vec<String>,
    /// Whether they fit the URL of a list. If not, the list gives ids alone
    /// and a batch read fills them: two calls for a page instead of one.
    fits_url: AtomicBool,
    /// Stamps every row (µs UTC).
    pub(super) stamp: i64,
}

/// A page of a list, the ids in it, and what it cost.
pub(super) struct Fetched {
    pub(super) page: Page,
    /// In the order of the list.
    pub(super) ids: Vec<i64>,
    pub(super) calls: u64,
}

impl Fetched {
    /// Whether the page holds as many records as one can: another may follow,
    /// whatever it says.
    pub(super) fn is_full(&self) -> bool {
        self.ids.len() as u64 + self.page.rejected >= u64::from(PAGE)
    }
}

impl PageSource {
    /// A source of the mirror's properties.
    pub(super) fn new(
        client: &Client,
        object: &ObjectType,
        schema: &MirrorSchema,
        stamp: i64,
    ) -> Self {
        let names = schema.property_names();
        let query = ListQuery { properties: names.clone(), limit: PAGE, archived: true };
        let fits_url = query.url_length(client, object) <= MAX_URL_LENGTH;
        Self {
            client: client.clone(),
            object: object.clone(),
            schema: schema.clone(),
            names,
            fits_url: AtomicBool::new(fits_url),
            stamp,
        }
    }

    /// The page that begins at a cursor.
    ///
    /// # Errors
    /// A HubSpot failure, or a body that is no page.
    pub(super) async fn list(
        &self,
        archived: bool,
        after: Option<&str>,
    ) -> Result<Fetched, ExtractError> {
        if self.fits_url.load(Ordering::Relaxed) {
            match self.list_page(archived, after, &self.names).await {
                Err(error) if is_too_long(&error) => {
                    self.fits_url.store(false, Ordering::Relaxed);
                }
                Err(error) if is_unreadable(&error) => {
                    tracing::warn!(object = %self.object, %error, "Reading its records one by one");
                }
                listed => return Ok(Fetched { calls: 1, ..fetched(listed?) }),
            }
        }
        let listed = self.list_page(archived, after, &["hs_object_id".to_owned()]).await?;
        if listed.rows.num_rows() == 0 {
            return Ok(Fetched { calls: 1, ..fetched(listed) });
        }
        let filled = self.fill(&listed, archived).await?;
        let ids = ids(&listed).to_vec();
        Ok(Fetched { page: Page { next: listed.next, ..filled }, ids, calls: 2 })
    }

    async fn list_page(
        &self,
        archived: bool,
        after: Option<&str>,
        names: &[String],
    ) -> Result<Page, ExtractError> {
        let query = ListQuery { properties: names.to_vec(), limit: PAGE, archived };
        let read = self.client.list_page(&self.object, &query, after).await;
        self.decode(&read.map_err(reading(self.object.name()))?)
    }

    /// The records of a page again, read by id with every property. A record
    /// that went away in between is missing here and shows up where it went:
    /// in the archived list, or as the record it was merged into.
    ///
    /// # Errors
    /// As [`PageSource::list`].
    pub(super) async fn fill(&self, listed: &Page, archived: bool) -> Result<Page, ExtractError> {
        let mut page = self.read(ids(listed), archived).await?;
        page.rejected += listed.rejected;
        Ok(page)
    }

    /// Up to 100 records by id, with every property; those that are not there
    /// are missing. Where an answer does not parse, or says that it lacks
    /// records which may be there, they are read again in halves, until the one
    /// that spoils it stands alone; that one is tried twice.
    ///
    /// # Errors
    /// A HubSpot failure.
    pub(super) async fn read(&self, ids: &[i64], archived: bool) -> Result<Page, ExtractError> {
        let mut page = Page::empty(&self.schema);
        let mut left = vec![ids];
        let mut is_last_try = false;
        while let Some(part) = left.pop() {
            match self.read_batch(part, archived).await {
                Ok(read) => {
                    page.append(read)?;
                    is_last_try = false;
                }
                // One answer may be an accident; two are the record's own.
                Err(error) if is_unreadable(&error) && part.len() == 1 && !is_last_try => {
                    left.push(part);
                    is_last_try = true;
                }
                Err(error) if is_unreadable(&error) && part.len() == 1 => {
                    is_last_try = false;
                    page.rejected += 1;
                    page.unreadable.push(unreadable(part[0], &error));
                }
                Err(error) if is_unreadable(&error) => {
                    let (one, other) = part.split_at(part.len() / 2);
                    left.extend([one, other]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }

    async fn read_batch(&self, ids: &[i64], archived: bool) -> Result<Page, ExtractError> {
        let query = BatchReadQuery {
            ids: ids.iter().map(i64::to_string).collect(),
            id_property: None,
            properties: self.names.clone(),
            archived,
        };
        let read = self.client.batch_read(&self.object, &query).await;
        let body = read.map_err(reading(self.object.name()))?;
        match body.refusal() {
            Some(refusal) => Err(reading(self.object.name())(refusal)),
            None => self.decode(&body),
        }
    }

    /// Decodes a body into a page of this sync.
    ///
    /// # Errors
    /// A body that is no page.
    pub(super) fn decode(&self, body: &Body) -> Result<Page, ExtractError> {
        decode_page(&self.schema, &body.bytes, self.stamp).map_err(|error| match error {
            ExtractError::Page { object, source, .. } => {
                ExtractError::Page { object, source, correlation_id: body.correlation_id.clone() }
            }
            other => other,
        })
    }

    /// The properties asked for.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

fn fetched(page: Page) -> Fetched {
    let ids = ids(&page).to_vec();
    Fetched { page, ids, calls: 0 }
}

/// What is told of a record whose JSON does not parse.
fn unreadable(id: i64, error: &ExtractError) -> Unreadable {
    let (problem, correlation_id) = match error {
        ExtractError::Page { source, correlation_id, .. } => {
            (source.to_string(), correlation_id.clone())
        }
        other => {
            let told = other.hubspot();
            let problem = told.map_or_else(|| other.to_string(), ToString::to_string);
            (problem, told.and_then(hubspot::Error::correlation_id).map(str::to_owned))
        }
    };
    Unreadable { id, problem, correlation_id }
}

/// Whether HubSpot refused the call as it was asked.
pub(super) fn is_refused(error: &ExtractError) -> bool {
    error
        .hubspot()
        .is_some_and(|error| matches!(error.kind(), ErrorKind::Refused | ErrorKind::NotFound))
}

/// Whether the answer came and makes no sense.
pub(super) fn is_unreadable(error: &ExtractError) -> bool {
    let misshapen = |error: &hubspot::Error| error.kind() == ErrorKind::BadResponse;
    matches!(error, ExtractError::Page { .. }) || error.hubspot().is_some_and(misshapen)
}

/// Whether a gateway thinks the URL shorter than we do.
fn is_too_long(error: &ExtractError) -> bool {
    error.hubspot().is_some_and(|error| error.kind() == ErrorKind::UrlTooLong)
}

/// The ids of a page, in its order.
pub(super) fn ids(page: &Page) -> &[i64] {
    page.rows.column(0).as_primitive::<Int64Type>().values()
}
