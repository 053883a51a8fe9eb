use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::client::Client;
use super::directory::Paging;
use super::error::{Error, Problem};
use super::paths::{Route, encoded_cursor};
use super::transport::Effect;
use super::wire::{Text, optional_micros, optional_text, or_default, record_id};
use crate::objects::RecordId;

/// Lists per page, the most the search gives.
const LISTS_PER_PAGE: u64 = 500;
/// Readings of all lists, at most, until two agree.
const MOST_READINGS: usize = 4;
/// Members per page, the most there are.
const MEMBERS_PER_PAGE: u32 = 250;

/// A list (in the app: a segment).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    /// The list's id.
    #[serde(rename = "listId", deserialize_with = "text")]
    pub id: String,
    /// What a person sees.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// The type of its members, `0-1`.
    #[serde(default, deserialize_with = "optional_text")]
    pub object_type_id: Option<String>,
    /// `MANUAL`, `DYNAMIC` or `SNAPSHOT`.
    #[serde(default)]
    pub processing_type: Option<String>,
    /// `COMPLETE`, `PROCESSING`, …
    #[serde(default)]
    pub processing_status: Option<String>,
    /// Who made it.
    #[serde(default, deserialize_with = "optional_text")]
    pub created_by_id: Option<String>,
    /// Members by HubSpot's count, which may lag behind.
    #[serde(skip)]
    pub size: Option<i64>,
    /// µs since 1970, UTC.
    #[serde(default, deserialize_with = "optional_micros")]
    pub created_at: Option<i64>,
    /// µs since 1970, UTC.
    #[serde(default, deserialize_with = "optional_micros")]
    pub updated_at: Option<i64>,
}

/// One record on a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListMember {
    /// The record.
    #[serde(deserialize_with = "record_id")]
    pub record_id: RecordId,
    /// When it joined (µs since 1970, UTC).
    #[serde(default, rename = "membershipTimestamp", deserialize_with = "optional_micros")]
    pub added_at: Option<i64>,
}

impl Client {
    /// All lists with their sizes.
    ///
    /// The pages are counted off by an offset, so a list that goes away between
    /// two of them hides another. Where there is more than one page, they are
    /// therefore read until two readings show the same lists, four times at most;
    /// if they never do, every list that any of them has shown is answered.
    ///
    /// # Errors
    /// As any read; a failure on any page fails the whole.
    pub async fn lists(&self) -> Result<Vec<List>, Error> {
        let (mut lists, pages) = self.walk_lists().await?;
        if pages < 2 {
            return Ok(lists.into_values().collect());
        }
        let mut ever = BTreeMap::new();
        for _ in 1..MOST_READINGS {
            let (again, _) = self.walk_lists().await?;
            if again.keys().eq(lists.keys()) {
                return Ok(again.into_values().collect());
            }
            ever.extend(std::mem::replace(&mut lists, again));
        }
        tracing::warn!("Lists came and went while they were read: some may be gone by now");
        ever.extend(lists);
        Ok(ever.into_values().collect())
    }

    /// The lists by id, and how many pages they took.
    async fn walk_lists(&self) -> Result<(BTreeMap<String, List>, u64), Error> {
        let (mut all, mut pages) = (BTreeMap::new(), 0);
        let mut offset = 0;
        loop {
            let body = json!({
                "count": LISTS_PER_PAGE,
                "offset": offset,
                "additionalProperties": ["hs_list_size"],
            });
            let body = body.to_string().into_bytes();
            let request = self.post(Route::ListSearch, &[], Effect::Read, body);
            let page = self
                .decoded(request, |reply| {
                    let page: ListsPage = serde_json::from_slice(&reply.body)?;
                    if page.has_more && page.offset <= offset {
                        return Err(Problem::Circular);
                    }
                    if page.has_more && page.lists.is_empty() {
                        return Err(Problem::Endless);
                    }
                    Ok(page)
                })
                .await?;
            let lists = page.lists.into_iter().map(WireList::into_list);
            all.extend(lists.map(|list| (list.id.clone(), list)));
            pages += 1;
            // The total is known to be wrong; only this says that there is more.
            if !page.has_more {
                return Ok((all, pages));
            }
            offset = page.offset;
        }
    }

    /// One page of a list's members and where the next one starts.
    ///
    /// # Errors
    /// `NotFound` when there is no such list; otherwise as any read.
    pub async fn list_members(
        &self,
        list: &str,
        after: Option<&str>,
    ) -> Result<(Vec<ListMember>, Option<String>), Error> {
        let mut query = format!("limit={MEMBERS_PER_PAGE}");
        if let Some(after) = after {
            query.push_str("&after=");
            query.push_str(&encoded_cursor(after));
        }
        let request = self.get(Route::ListMemberships, &[list], &query);
        self.decoded(request, |reply| {
            let page: MembersPage = serde_json::from_slice(&reply.body)?;
            let next = page.paging.and_then(Paging::cursor);
            let stuck = next.is_some() && next.as_deref() == after;
            if stuck { Err(Problem::Circular) } else { Ok((page.results, next)) }
        })
        .await
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListsPage {
    /// Never absent: an answer that tells nothing would read as no lists.
    #[serde(deserialize_with = "or_default")]
    lists: Vec<WireList>,
    #[serde(default, deserialize_with = "or_default")]
    has_more: bool,
    #[serde(default, deserialize_with = "or_default")]
    offset: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireList {
    #[serde(flatten)]
    list: List,
    #[serde(default)]
    size: Option<Text>,
    #[serde(default, deserialize_with = "or_default")]
    additional_properties: AdditionalProperties,
}

#[derive(Default, Deserialize)]
struct AdditionalProperties {
    #[serde(default)]
    hs_list_size: Option<Text>,
}

impl WireList {
    fn into_list(self) -> List {
        let size = self.additional_properties.hs_list_size.or(self.size);
        List { size: size.and_then(|text| text.0.parse().ok()), ..self.list }
    }
}

#[derive(Deserialize)]
struct MembersPage {
    results: Vec<ListMember>,
    #[serde(default)]
    paging: Option<Paging>,
}

fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Text::deserialize(deserializer)?.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::hubspot::ErrorKind;
    use crate::hubspot::scripted::{answer, scripted};

    #[tokio::test(start_paused = true)]
    async fn lists_are_read_by_offset_until_there_are_no_more() {
        let first = json!({"lists": [{"listId": "1", "name": "A", "objectTypeId": "0-1",
            "updatedAt": "2024-01-01T00:00:00Z", "additionalProperties": {"hs_list_size": "12"}}],
            "hasMore": true, "offset": 1, "total": 0});
        let last =
            json!({"lists": [{"listId": 2, "size": 3}], "hasMore": false, "offset": 2, "total": 0});
        let pages = [first.to_string(), last.to_string()];
        let twice = pages.iter().chain(&pages).map(|page| answer(200, page, &[]));
        let (client, script) = scripted(twice);
        let lists = client.lists().await.expect("lists");
        let read: Vec<_> = lists.iter().map(|list| (list.id.as_str(), list.size)).collect();
        assert_eq!(read, [("1", Some(12)), ("2", Some(3))]);
        assert_eq!(
            (&script.body_of(0)["offset"], &script.body_of(1)["offset"]),
            (&json!(0), &json!(1))
        );
        assert_eq!(script.requests().len(), 4, "two readings that agree");
        let stuck = json!({"lists": [], "hasMore": true, "offset": 0}).to_string();
        let (client, _) = scripted([answer(200, &stuck, &[])]);
        let error = client.lists().await.expect_err("going in circles");
        assert_eq!(error.kind(), ErrorKind::BadResponse);
        let (client, _) = scripted((0..9).map(|_| answer(200, "{}", &[])));
        let error = client.lists().await.expect_err("an answer that tells nothing");
        assert_eq!(error.kind(), ErrorKind::BadResponse);
    }

    /// Pages of lists with these ids, one call after another.
    fn walks(pages: &[(&[&str], bool)]) -> Vec<crate::hubspot::scripted::Step> {
        let mut offset = 0;
        let page = |(ids, has_more): &(&[&str], bool)| {
            offset = if *has_more { offset + ids.len() } else { 0 };
            let lists: Vec<_> = ids.iter().map(|id| json!({"listId": id})).collect();
            json!({"lists": lists, "hasMore": has_more, "offset": offset}).to_string()
        };
        pages.iter().map(page).map(|page| answer(200, &page, &[])).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_hidden_by_another_s_deletion_is_found_by_reading_again() {
        // `1` goes away after the first page: `3` moves up and is passed over.
        let (client, _) = scripted(walks(&[
            (&["1", "2"], true),
            (&["4"], false),
            (&["2", "3"], true),
            (&["4"], false),
            (&["2", "3"], true),
            (&["4"], false),
        ]));
        let lists = client.lists().await.expect("lists");
        let ids: Vec<_> = lists.iter().map(|list| list.id.as_str()).collect();
        assert_eq!(ids, ["2", "3", "4"]);
        // They never agree: nothing that was ever shown is missing.
        let (client, script) = scripted(walks(&[
            (&["1", "2"], true),
            (&["4"], false),
            (&["2", "3"], true),
            (&["5"], false),
            (&["2", "3"], true),
            (&["6"], false),
            (&["2", "3"], true),
            (&["7"], false),
        ]));
        let lists = client.lists().await.expect("lists");
        let ids: Vec<_> = lists.iter().map(|list| list.id.as_str()).collect();
        assert_eq!(ids, ["1", "2", "3", "4", "5", "6", "7"]);
        assert_eq!(script.requests().len(), 8, "and that is the end of it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_members_cursor_is_never_encoded_twice() {
        let body = r#"{"results":[{"recordId":"7","membershipTimestamp":"2024-01-01T00:00:00.000Z"}],
            "total":0,"paging":{"next":{"after":"Mg%3D%3D"}}}"#;
        let (client, script) = scripted([answer(200, body, &[]), answer(200, body, &[])]);
        let (members, next) = client.list_members("5", None).await.expect("a page");
        assert_eq!(members[0].record_id.0, 7);
        let stuck = client.list_members("5", next.as_deref()).await.expect_err("the same cursor");
        assert_eq!(stuck.kind(), ErrorKind::BadResponse);
        let url = &script.requests()[1].url;
        assert!(
            url.ends_with("/crm/lists/2026-03/5/memberships?limit=250&after=Mg%3D%3D"),
            "{url}"
        );
    }
}
