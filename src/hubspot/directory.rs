use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::TryStreamExt;
use serde::Deserialize;

use super::client::Client;
use super::error::{Error, Problem};
use super::paging::{MOST_EMPTY_PAGES, pages};
use super::paths::{Route, encoded};
use super::transport::Reply;
use super::wire::{Text, optional_micros, or_default};
use crate::objects::ObjectType;

/// Owners per page; 500 has been reported to work, 100 is what everyone uses.
const OWNERS_PER_PAGE: u32 = 100;

/// A user or queue that records can be assigned to.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// What owner properties hold; not the user's id.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// Absent for queues and for some archived owners.
    pub email: Option<String>,
    /// `PERSON` or `QUEUE`.
    #[serde(rename = "type")]
    pub owner_type: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// The user behind the owner; absent once archived.
    pub user_id: Option<i64>,
    /// Whether the user has left.
    #[serde(default, deserialize_with = "or_default")]
    pub archived: bool,
    /// The teams of the user.
    #[serde(default, deserialize_with = "or_default")]
    pub teams: Vec<Team>,
    /// µs since 1970, UTC.
    #[serde(default, deserialize_with = "optional_micros")]
    pub created_at: Option<i64>,
    /// µs since 1970, UTC; does not move when the user changes.
    #[serde(default, deserialize_with = "optional_micros")]
    pub updated_at: Option<i64>,
}

/// An owner's membership of a team.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Team {
    /// The team's id.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// The team's name.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Whether it is the owner's main team.
    #[serde(default, deserialize_with = "or_default")]
    pub primary: bool,
}

/// A pipeline that records of one type move through.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pipeline {
    /// The id that records hold.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// What a person sees.
    pub label: String,
    /// Its place among the pipelines.
    #[serde(default, deserialize_with = "or_default")]
    pub display_order: i64,
    /// Whether it is in the recycle bin.
    #[serde(default, deserialize_with = "or_default")]
    pub archived: bool,
    /// Its stages.
    #[serde(default, deserialize_with = "or_default")]
    pub stages: Vec<PipelineStage>,
    /// µs since 1970, UTC; 1970 itself for HubSpot's default pipelines.
    #[serde(default, deserialize_with = "optional_micros")]
    pub created_at: Option<i64>,
    /// µs since 1970, UTC.
    #[serde(default, deserialize_with = "optional_micros")]
    pub updated_at: Option<i64>,
}

/// A stage of a [`Pipeline`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStage {
    /// The id that records hold.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// What a person sees.
    pub label: String,
    /// Its place in the pipeline.
    #[serde(default, deserialize_with = "or_default")]
    pub display_order: i64,
    /// Whether it is in the recycle bin.
    #[serde(default, deserialize_with = "or_default")]
    pub archived: bool,
    /// `isClosed`, `probability`, `ticketState`, …, as text.
    #[serde(default, deserialize_with = "texts")]
    pub metadata: BTreeMap<String, String>,
    /// µs since 1970, UTC.
    #[serde(default, deserialize_with = "optional_micros")]
    pub created_at: Option<i64>,
    /// µs since 1970, UTC.
    #[serde(default, deserialize_with = "optional_micros")]
    pub updated_at: Option<i64>,
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner")
            .field("id", &self.id)
            .field("archived", &self.archived)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// All owners, archived ones instead of present ones when asked.
    ///
    /// # Errors
    /// As any read; a failure on any page fails the whole.
    pub async fn owners(&self, archived: bool) -> Result<Vec<Owner>, Error> {
        let empty = AtomicU32::new(0);
        let fetch = |after: Option<String>| async {
            let mut query = format!("limit={OWNERS_PER_PAGE}&archived={archived}");
            if let Some(after) = &after {
                query.push_str("&after=");
                query.extend(encoded(after));
            }
            let request = self.get(Route::Owners, &[], &query);
            let decode = |reply: &Reply| {
                let page = OwnersPage::decode(&reply.body, after)?;
                let before = empty.load(Ordering::Relaxed);
                let now = if page.results.is_empty() { before + 1 } else { 0 };
                empty.store(now, Ordering::Relaxed);
                let goes_on = page.paging.as_ref().and_then(Paging::next_cursor).is_some();
                let is_endless = goes_on && now > MOST_EMPTY_PAGES;
                if is_endless { Err(Problem::Endless) } else { Ok(page) }
            };
            let page = self.decoded(request, decode).await?;
            Ok((page.results, page.paging.and_then(Paging::cursor)))
        };
        pages(None, fetch).try_concat().await
    }

    /// All pipelines of an object type with their stages.
    ///
    /// # Errors
    /// As any read.
    pub async fn pipelines(&self, object: &ObjectType) -> Result<Vec<Pipeline>, Error> {
        let all: PipelinesPage =
            self.fetch(self.get(Route::Pipelines, &[object.name()], "")).await?;
        Ok(all.results)
    }
}

#[derive(Deserialize)]
struct OwnersPage {
    results: Vec<Owner>,
    #[serde(default)]
    paging: Option<Paging>,
}

#[derive(Deserialize)]
struct PipelinesPage {
    results: Vec<Pipeline>,
}

/// Where the next page starts; absent on the last.
#[derive(Deserialize)]
pub(super) struct Paging {
    #[serde(default)]
    next: Option<Next>,
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    after: Option<Text>,
}

impl Paging {
    pub(super) fn cursor(self) -> Option<String> {
        Some(self.next?.after?.0)
    }

    pub(super) fn next_cursor(&self) -> Option<&str> {
        Some(&self.next.as_ref()?.after.as_ref()?.0)
    }
}

impl OwnersPage {
    /// A page that names the cursor it was asked with would be read for ever.
    fn decode(body: &[u8], after: Option<String>) -> Result<Self, Problem> {
        let page: Self = serde_json::from_slice(body)?;
        let next = page.paging.as_ref().and_then(Paging::next_cursor);
        if next.is_some() && next == after.as_deref() { Err(Problem::Circular) } else { Ok(page) }
    }
}

fn id<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Text::deserialize(deserializer).map(|text| text.0)
}

fn texts<'de, D>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let values = Option::<BTreeMap<String, Option<Text>>>::deserialize(deserializer)?;
    let text = |(key, value): (String, Option<Text>)| Some((key, value?.0));
    Ok(values.unwrap_or_default().into_iter().filter_map(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archived_owner_lacks_user_and_teams() {
        let owner: Owner = serde_json::from_str(
            r#"{"id":"1","type":"PERSON","firstName":"A","lastName":"","userId":null,
                "createdAt":"2021-01-01T00:00:00.000Z","updatedAt":"2021-01-01T00:00:00Z","archived":true}"#,
        )
        .expect("an owner");
        assert_eq!((owner.user_id, owner.email, owner.teams.len()), (None, None, 0));
        assert!(owner.archived);
    }

    #[test]
    fn an_owner_s_user_is_a_number_and_its_id_a_text() {
        let owner: Owner = serde_json::from_str(
            r#"{"id":"41629779","email":"x@y.z","userId":64492917,"archived":false,
                "teams":[{"id":"178588","name":"North","primary":true}]}"#,
        )
        .expect("an owner");
        assert_eq!((owner.id.as_str(), owner.user_id), ("41629779", Some(64_492_917)));
        assert_eq!(owner.teams[0].name, "North");
    }

    #[test]
    fn metadata_is_text_whatever_it_was() {
        let pipeline: Pipeline = serde_json::from_str(
            r#"{"id":"default","label":"Sales","displayOrder":0,"archived":false,
                "createdAt":"1970-01-01T00:00:00Z","stages":[{"id":"won","label":"Won","displayOrder":1,
                "metadata":{"isClosed":"true","probability":1.0,"x":null}}]}"#,
        )
        .expect("a pipeline");
        assert_eq!(pipeline.created_at, Some(0));
        let metadata = &pipeline.stages[0].metadata;
        assert_eq!(metadata.get("isClosed").map(String::as_str), Some("true"));
        assert_eq!(metadata.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn owners_that_go_on_without_an_owner_end() {
        use crate::hubspot::ErrorKind;
        use crate::hubspot::scripted::{answer, scripted};

        let page = |at: u32| format!(r#"{{"results":[],"paging":{{"next":{{"after":"{at}"}}}}}}"#);
        let (client, script) = scripted((0..200).map(|at| answer(200, &page(at), &[])));
        let error = client.owners(false).await.expect_err("no end");
        assert_eq!(error.kind(), ErrorKind::BadResponse);
        assert!(error.to_string().contains("shows nothing"), "{error}");
        assert_eq!(script.requests().len(), 51);
    }

    #[test]
    fn a_page_that_names_itself_is_refused() {
        let body = br#"{"results":[],"paging":{"next":{"after":"7"}}}"#;
        assert!(OwnersPage::decode(body, Some("6".into())).is_ok());
        assert!(matches!(OwnersPage::decode(body, Some("7".into())), Err(Problem::Circular)));
    }
}
