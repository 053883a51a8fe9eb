use std::sync::Arc;

use bytes::Bytes;
use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::account::CallCounts;
use super::auth::Authorized;
use super::budget::{Budget, Budgeted};
use super::config::{ApiVersion, HubSpotConfig};
use super::error::{Error, ErrorKind, Problem, Reason};
use super::paths::Route;
use super::query::{BatchReadQuery, Direction, ListQuery, SearchQuery, Sort};
use super::records::{BatchReply, Body, Record, WriteInput, archive_body, write_body};
use super::retry::Retry;
use super::transport::{Answer, CallName, Effect, HttpTransport, Lane, Reply, Request, Transport};
use crate::objects::{ObjectType, RecordId};

/// Inputs of one batch of records.
const MOST_INPUTS: usize = 100;

/// Speaks with one HubSpot account.
///
/// Cheap to clone: all clones share one rate budget, one circuit breaker, one
/// connection pool and one set of counters. Calls may run side by side in any
/// number; they leave in the order they were asked, as fast as the account's
/// limits allow. Dropping the future of a call abandons it: a write may then
/// still have been applied.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    base_url: String,
    version: ApiVersion,
    layers: Retry,
}

impl Client {
    /// A client for the account that `token` belongs to. Sends nothing yet.
    ///
    /// # Errors
    /// Settings that do not hold, or a token that no header can carry.
    pub fn new(config: &HubSpotConfig, token: SecretString) -> Result<Self, Error> {
        config.validate().map_err(|error| Error::new(Reason::Settings(error)))?;
        let transport =
            HttpTransport::new(config).map_err(|error| Error::new(Reason::Setup(error.into())))?;
        Self::layered(config, &token, Box::new(transport))
    }

    /// Builds the layers that every call passes, outermost first:
    ///
    /// 1. call: forms the request, decodes the answer (this file and its
    ///    neighbours by subject)
    /// 2. retry: examines the answer, repeats what is safe to repeat, rests
    ///    while the circuit breaker is open
    /// 3. budget: waits its turn, learns from headers; inside retry, so that
    ///    every attempt pays
    /// 4. auth: puts the token on
    /// 5. transport: one exchange over HTTP
    pub(super) fn layered(
        config: &HubSpotConfig,
        token: &SecretString,
        transport: Box<dyn Transport>,
    ) -> Result<Self, Error> {
        let auth = Authorized::new(token, transport).map_err(|_| Error::new(Reason::Token))?;
        let budget = Budget::new(config.assumed_burst_limit(), config.daily_reserve);
        let layers = Retry::new(Budgeted::new(budget, auth));
        let base_url = config.base_url.trim_end_matches('/').to_owned();
        Ok(Self { shared: Arc::new(Shared { base_url, version: config.api_version, layers }) })
    }

    /// What was asked of the account so far, by all clones together.
    pub fn counts(&self) -> CallCounts {
        self.budget().counts()
    }

    /// One page of records in ascending order of id, as HubSpot sent it; the
    /// next one starts at `paging.next.after`, which is absent on the last.
    /// A short page need not be the last.
    ///
    /// # Errors
    /// `UrlTooLong` when the property list is too long for a URL; otherwise
    /// as any read.
    pub async fn list_page(
        &self,
        object: &ObjectType,
        query: &ListQuery,
        after: Option<&str>,
    ) -> Result<Body, Error> {
        let url = self.list_url(object, query, after);
        let request =
            Request { url, answer: Answer::Raw, ..self.get(Route::List, &[object.name()], "") };
        Ok(into_body(self.send(request).await?))
    }

    pub(super) fn list_url(
        &self,
        object: &ObjectType,
        query: &ListQuery,
        after: Option<&str>,
    ) -> String {
        let path = Route::List.path(self.shared.version, &[object.name()]);
        self.url(&path, &query.to_query_string(after))
    }

    /// The first page of a search, as HubSpot sent it. The index lags behind
    /// writes, and its `total` is not to be relied on.
    ///
    /// # Errors
    /// As any read.
    pub async fn search_page(
        &self,
        object: &ObjectType,
        query: &SearchQuery,
    ) -> Result<Body, Error> {
        let request = Request {
            lane: Lane::Search,
            answer: Answer::Raw,
            ..self.post(Route::Search, &[object.name()], Effect::Read, query.to_body())
        };
        Ok(into_body(self.send(request).await?))
    }

    /// How many live records of a type search finds, and the highest id among
    /// them; none when it finds none. Both are hints: the index lags behind
    /// writes, and `total` is known to be wrong at times.
    ///
    /// # Errors
    /// `Refused` where the type cannot be searched; otherwise as any read.
    pub async fn extent(&self, object: &ObjectType) -> Result<Option<(u64, i64)>, Error> {
        let by_id = |direction| Sort { property: "hs_object_id".to_owned(), direction };
        let query = SearchQuery {
            filters: Vec::new(),
            sort: Some(by_id(Direction::Descending)),
            properties: vec!["hs_object_id".to_owned()],
            limit: 1,
        };
        let request = Request {
            lane: Lane::Search,
            ..self.post(Route::Search, &[object.name()], Effect::Read, query.to_body())
        };
        let found: Extent = self.fetch(request).await?;
        let highest = found.results.first().map(|record| record.id.0);
        Ok(highest.map(|highest| (found.total, highest)))
    }

    /// Up to 100 records by id or unique property, as HubSpot sent them, in
    /// any order: 200, or 207 with the missing ones in one error. Ids of
    /// merged-away records can be missing without an error.
    ///
    /// # Errors
    /// As any read.
    pub async fn batch_read(
        &self,
        object: &ObjectType,
        query: &BatchReadQuery,
    ) -> Result<Body, Error> {
        check_count(query.ids.len(), MOST_INPUTS)?;
        let names = [object.name()];
        let mut request = self.post(Route::BatchRead, &names, Effect::Read, query.to_body());
        request.answer = Answer::Raw;
        if query.archived {
            request.url.push_str("?archived=true");
        }
        Ok(into_body(self.send(request).await?))
    }

    /// The id under which a live record is found: its own, or that of the record
    /// it was merged into, whatever merges lie between; none where there is none.
    /// A batch read cannot tell: it leaves a merged id out in silence
    /// (`hubspot-api.md`, section 4).
    ///
    /// # Errors
    /// As any read.
    pub async fn survivor(
        &self,
        object: &ObjectType,
        id: RecordId,
    ) -> Result<Option<RecordId>, Error> {
        let names = [object.name(), &id.to_string()];
        let request = self.get(Route::Record, &names, "properties=hs_object_id");
        match self.fetch::<Record>(request).await {
            Ok(record) => Ok(Some(record.id)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates up to 100 records. Inputs are settled one by one: look for
    /// every trace id in the reply.
    ///
    /// # Errors
    /// `Interrupted` when the batch may have been applied; anything else means
    /// that nothing was.
    pub async fn batch_create(
        &self,
        object: &ObjectType,
        inputs: &[WriteInput],
    ) -> Result<BatchReply, Error> {
        self.batch_write(Route::BatchCreate, object, inputs).await
    }

    /// Updates up to 100 records by id or unique property, each at most once.
    /// Ids of merged-away records are left out of the reply in silence.
    ///
    /// # Errors
    /// As [`batch_create`](Self::batch_create).
    pub async fn batch_update(
        &self,
        object: &ObjectType,
        inputs: &[WriteInput],
    ) -> Result<BatchReply, Error> {
        self.batch_write(Route::BatchUpdate, object, inputs).await
    }

    /// Updates or creates up to 100 records by a unique property.
    ///
    /// # Errors
    /// As [`batch_create`](Self::batch_create).
    pub async fn batch_upsert(
        &self,
        object: &ObjectType,
        inputs: &[WriteInput],
    ) -> Result<BatchReply, Error> {
        self.batch_write(Route::BatchUpsert, object, inputs).await
    }

    /// Moves up to 100 records to the recycle bin; ids that do not exist or
    /// are there already count as done.
    ///
    /// # Errors
    /// As [`batch_create`](Self::batch_create).
    pub async fn batch_archive(&self, object: &ObjectType, ids: &[RecordId]) -> Result<(), Error> {
        check_count(ids.len(), MOST_INPUTS)?;
        let names = [object.name()];
        let request = Request {
            answer: Answer::Nothing,
            ..self.post(Route::BatchArchive, &names, Effect::Write, archive_body(ids))
        };
        self.send(request).await.map(drop)
    }

    async fn batch_write(
        &self,
        route: Route,
        object: &ObjectType,
        inputs: &[WriteInput],
    ) -> Result<BatchReply, Error> {
        check_count(inputs.len(), MOST_INPUTS)?;
        let request = self.post(route, &[object.name()], Effect::Write, write_body(inputs));
        self.decoded(request, |reply| {
            let correlation_id = reply.correlation_id().map(str::to_owned);
            BatchReply::decode(reply.status, &reply.body, correlation_id)
        })
        .await
    }

    /// Sends a request and decodes its JSON answer.
    pub(super) async fn fetch<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        self.decoded(request, |reply| Ok(serde_json::from_slice(&reply.body)?)).await
    }

    /// Sends a request and decodes its answer; an answer of another shape
    /// leaves the outcome of a write unknown.
    pub(super) async fn decoded<T>(
        &self,
        request: Request,
        decode: impl FnOnce(&Reply) -> Result<T, Problem>,
    ) -> Result<T, Error> {
        let (name, effect) = (request.name.clone(), request.effect);
        let reply = self.send(request).await?;
        decode(&reply).map_err(|problem| {
            let correlation_id = reply.correlation_id().map(str::to_owned);
            let reason = Reason::Misshapen { status: reply.status, problem, correlation_id };
            Error::of_call(name, effect, 1, reason)
        })
    }

    pub(super) async fn send(&self, request: Request) -> Result<Reply, Error> {
        self.shared.layers.send(request).await
    }

    pub(super) fn budget(&self) -> &Budget {
        self.shared.layers.budget()
    }

    /// A read without a body; `names` fill the route's placeholders in order,
    /// the first of them being the object type where there is one.
    pub(super) fn get(&self, route: Route, names: &[&str], query: &str) -> Request {
        self.request(Method::GET, route, names, query, Effect::Read, None)
    }

    /// A call with a JSON body.
    pub(super) fn post(
        &self,
        route: Route,
        names: &[&str],
        effect: Effect,
        body: Vec<u8>,
    ) -> Request {
        self.request(Method::POST, route, names, "", effect, Some(body.into()))
    }

    /// A partial update with a JSON body.
    pub(super) fn patch(&self, route: Route, names: &[&str], body: Vec<u8>) -> Request {
        self.request(Method::PATCH, route, names, "", Effect::Write, Some(body.into()))
    }

    /// A change of a whole with a JSON body.
    pub(super) fn put(&self, route: Route, names: &[&str], body: Vec<u8>) -> Request {
        self.request(Method::PUT, route, names, "", Effect::Write, Some(body.into()))
    }

    fn request(
        &self,
        method: Method,
        route: Route,
        names: &[&str],
        query: &str,
        effect: Effect,
        body: Option<Bytes>,
    ) -> Request {
        let name = CallName {
            method: method.clone(),
            template: route.template(self.shared.version),
            path: route.path(self.shared.version, names),
            object: names.first().map(|name| (*name).to_owned()),
        };
        Request {
            url: self.url(&name.path, query),
            name,
            body,
            authorization: None,
            method,
            lane: Lane::Burst,
            effect,
            answer: Answer::Json,
        }
    }

    fn url(&self, path: &str, query: &str) -> String {
        let mut url = self.shared.base_url.clone();
        url.push_str(path);
        if !query.is_empty() {
            url.push('?');
            url.push_str(query);
        }
        url
    }
}

/// The answer of a search of which only the size matters.
#[derive(Deserialize)]
struct Extent {
    #[serde(default)]
    total: u64,
    results: Vec<Record>,
}

/// # Errors
/// When there are more inputs than HubSpot takes: it would refuse them all.
pub(super) fn check_count(given: usize, most: usize) -> Result<(), Error> {
    if given > most { Err(Error::new(Reason::TooMany { given, most })) } else { Ok(()) }
}

fn into_body(reply: Reply) -> Body {
    Body {
        status: reply.status,
        server_time: reply.server_time(),
        correlation_id: reply.correlation_id().map(str::to_owned),
        bytes: reply.body,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::hubspot::definitions::PropertyGroup;
    use crate::hubspot::query::Filter;
    use crate::hubspot::scripted::{PAGE, TOKEN, answer, client, scripted};
    use crate::objects::{PropertyOption, PropertyType};

    const CONTACTS: ObjectType = ObjectType::CONTACTS;
    const BASE: &str = "https://api.hubapi.com";

    fn list() -> ListQuery {
        ListQuery { properties: vec!["email".into()], limit: 100, archived: false }
    }

    fn inputs(count: usize) -> Vec<WriteInput> {
        let input = |i: usize| WriteInput {
            id: Some(i.to_string()),
            id_property: None,
            properties: BTreeMap::new(),
            trace_id: format!("t{i}"),
        };
        (0..count).map(input).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn calls_go_where_the_version_says_with_the_token_on() {
        let (client, script) = scripted([answer(200, PAGE, &[]), answer(200, PAGE, &[])]);
        client.list_page(&CONTACTS, &list(), Some("52")).await.expect("a page");
        let ids = BatchReadQuery {
            ids: vec!["1".into()],
            id_property: None,
            properties: vec![],
            archived: true,
        };
        client.batch_read(&CONTACTS, &ids).await.expect("a page");
        let sent = script.requests();
        assert_eq!(
            sent[0].url,
            format!("{BASE}/crm/objects/2026-03/contacts?limit=100&after=52&properties=email")
        );
        assert_eq!(
            sent[1].url,
            format!("{BASE}/crm/objects/2026-03/contacts/batch/read?archived=true")
        );
        for request in sent {
            let authorization = request.authorization.expect("a token");
            assert_eq!(authorization.as_bytes(), format!("Bearer {TOKEN}").as_bytes());
            assert!(!format!("{authorization:?}").contains(TOKEN));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_merged_record_is_found_under_its_survivor_s_id() {
        let missing = r#"{"status":"error","message":"resource not found"}"#;
        let (client, script) =
            scripted([answer(200, r#"{"id":"9"}"#, &[]), answer(404, missing, &[])]);
        let survivor = client.survivor(&CONTACTS, RecordId(7)).await.expect("an answer");
        assert_eq!(survivor, Some(RecordId(9)));
        assert_eq!(client.survivor(&CONTACTS, RecordId(8)).await.expect("an answer"), None);
        let url = &script.requests()[0].url;
        assert_eq!(*url, format!("{BASE}/crm/objects/2026-03/contacts/7?properties=hs_object_id"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_url_s_length_is_known_before_it_is_asked_for() {
        let (client, script) = scripted([answer(200, PAGE, &[])]);
        let cursor = i64::MAX.to_string();
        client.list_page(&CONTACTS, &list(), Some(&cursor)).await.expect("a page");
        assert_eq!(list().url_length(&client, &CONTACTS), script.requests()[0].url.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_carries_the_server_s_time_and_decodes() {
        let body = r#"{"results":[{"id":"7","properties":{"email":null}}]}"#;
        let headers =
            [("date", "Thu, 01 Jan 1970 00:00:02 GMT"), ("x-hubspot-correlation-id", "c-2")];
        let (client, script) = scripted([answer(200, body, &headers)]);
        let query = SearchQuery {
            filters: vec![Filter::Eq("email".into(), "a@b.co".into())],
            sort: None,
            properties: vec![],
            limit: 1,
        };
        let page = client.search_page(&CONTACTS, &query).await.expect("a page");
        assert_eq!(
            (page.server_time, page.correlation_id.as_deref()),
            (Some(2_000_000), Some("c-2"))
        );
        assert_eq!(page.records().expect("records").results[0].id, RecordId(7));
        assert_eq!(script.requests()[0].lane, Lane::Search);
        assert_eq!(script.body_of(0)["filterGroups"][0]["filters"][0]["value"], "a@b.co");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_too_large_is_not_sent() {
        let (client, script) = scripted([]);
        let error = client.batch_create(&CONTACTS, &inputs(101)).await.expect_err("too many");
        assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Refused, false));
        assert!(script.requests().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn every_batch_write_has_its_own_path() {
        let reply = r#"{"status":"COMPLETE","results":[]}"#;
        let (client, script) = scripted((0..3).map(|_| answer(207, reply, &[])));
        let inputs = inputs(100);
        assert_eq!(client.batch_create(&CONTACTS, &inputs).await.expect("a reply").status, 207);
        client.batch_update(&CONTACTS, &inputs).await.expect("a reply");
        client.batch_upsert(&CONTACTS, &inputs).await.expect("a reply");
        let sent = script.requests();
        for (request, end) in sent.iter().zip(["create", "update", "upsert"]) {
            assert!(request.url.ends_with(&format!("/contacts/batch/{end}")), "{}", request.url);
        }
        assert_eq!(script.body_of(2)["inputs"].as_array().map(Vec::len), Some(100));
        assert_eq!(script.body_of(2)["inputs"][99]["objectWriteTraceId"], "t99");
    }

    #[tokio::test(start_paused = true)]
    async fn owners_are_read_to_the_last_page() {
        let first =
            r#"{"results":[{"id":"1","archived":false}],"paging":{"next":{"after":"MQ=="}}}"#;
        let last = r#"{"results":[{"id":"2","archived":false}]}"#;
        let (client, script) = scripted([answer(200, first, &[]), answer(200, last, &[])]);
        let owners = client.owners(false).await.expect("owners");
        assert_eq!(owners.iter().map(|owner| owner.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        assert!(script.requests()[1].url.ends_with("?limit=100&archived=false&after=MQ%3D%3D"));
        let (client, _) = scripted([answer(200, first, &[]), answer(200, first, &[])]);
        let error = client.owners(false).await.expect_err("going in circles");
        assert_eq!(error.kind(), ErrorKind::BadResponse);
    }

    #[tokio::test(start_paused = true)]
    async fn only_records_with_more_associations_are_asked_again() {
        let to = |id: u64| json!([{"toObjectId": id, "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": 279}]}]);
        let first = json!({"results": [
            {"from": {"id": "1"}, "to": to(11), "paging": {"next": {"after": "a"}}},
            {"from": {"id": "2"}, "to": to(12)},
        ]});
        let last = json!({"results": [{"from": {"id": "1"}, "to": to(13)}]});
        let (client, script) =
            scripted([answer(207, &first.to_string(), &[]), answer(200, &last.to_string(), &[])]);
        let ids = [RecordId(1), RecordId(2), RecordId(2), RecordId(3)];
        let all = client.associations(&CONTACTS, &ObjectType::COMPANIES, &ids).await.expect("all");
        assert_eq!(all.iter().map(|one| one.to.0).collect::<Vec<_>>(), [11, 12, 13]);
        assert_eq!(script.body_of(0), json!({"inputs": [{"id": "1"}, {"id": "2"}, {"id": "3"}]}));
        assert_eq!(script.body_of(1), json!({"inputs": [{"id": "1", "after": "a"}]}));
        let none = client.associations(&CONTACTS, &ObjectType::COMPANIES, &[]).await;
        assert!(none.expect("nothing").is_empty(), "and nothing is sent");
    }

    #[tokio::test(start_paused = true)]
    async fn options_are_merged_and_sent_only_when_one_is_missing() {
        let property = r#"{"name":"tier","type":"enumeration","options":[{"label":"A","value":"a","displayOrder":0}]}"#;
        let (client, script) = scripted([
            answer(200, property, &[]),
            answer(200, property, &[]),
            answer(200, property, &[]),
        ]);
        let option = |value: &str| PropertyOption {
            label: value.into(),
            value: value.into(),
            hidden: false,
        };
        client
            .add_property_options(&CONTACTS, "tier", &[option("a")])
            .await
            .expect("nothing to do");
        client.add_property_options(&CONTACTS, "tier", &[option("b")]).await.expect("added");
        let sent = script.requests();
        let methods: Vec<_> = sent.iter().map(|request| request.method.as_str()).collect();
        assert_eq!(methods, ["GET", "GET", "PATCH"]);
        assert_eq!(sent[2].url, format!("{BASE}/crm/properties/2026-03/contacts/tier"));
        assert_eq!(script.body_of(2)["options"][1]["value"], "b");
    }

    #[tokio::test(start_paused = true)]
    async fn a_property_and_its_group_are_created() {
        let created = r#"{"name":"tier","type":"enumeration","fieldType":"select"}"#;
        let (client, script) =
            scripted([answer(201, r#"{"name":"usage"}"#, &[]), answer(201, created, &[])]);
        let group = PropertyGroup { name: "usage".into(), label: "Usage".into() };
        client.create_property_group(&CONTACTS, &group).await.expect("a group");
        let property = crate::hubspot::definitions::NewProperty {
            name: "tier".into(),
            label: "Tier".into(),
            property_type: PropertyType::Enumeration,
            field_type: "select".into(),
            group_name: "usage".into(),
            description: "Which tier".into(),
            options: vec![PropertyOption { label: "A".into(), value: "a".into(), hidden: false }],
            has_unique_value: false,
        };
        let definition = client.create_property(&CONTACTS, &property).await.expect("a property");
        assert_eq!(definition.property_type, PropertyType::Enumeration);
        assert_eq!(
            script.body_of(1),
            json!({
                "name": "tier", "label": "Tier", "type": "enumeration", "fieldType": "select",
                "groupName": "usage", "description": "Which tier", "hasUniqueValue": false,
                "options": [{"label": "A", "value": "a", "displayOrder": 0, "hidden": false}],
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn calls_can_run_on_any_thread() {
        fn sendable<T: Send>(_: T) {}

        let (client, _) = scripted([answer(200, PAGE, &[])]);
        sendable(client.batch_update(&CONTACTS, &[]));
        sendable(client.associations(&CONTACTS, &CONTACTS, &[]));
        sendable(client.add_property_options(&CONTACTS, "tier", &[]));
        sendable(client.owners(false));
        let task =
            tokio::spawn(async move { client.list_page(&CONTACTS, &list(), None).await.map(drop) });
        task.await.expect("no panic").expect("a page");
    }

    #[test]
    fn settings_and_tokens_that_cannot_work_are_refused_at_once() {
        let config =
            HubSpotConfig { base_url: "api.hubapi.com".into(), ..HubSpotConfig::default() };
        let error = Client::new(&config, SecretString::from("t")).err().expect("no scheme");
        assert_eq!(error.kind(), ErrorKind::Settings);
        let error = Client::new(&HubSpotConfig::default(), SecretString::from("two\nlines"))
            .err()
            .expect("no header can hold it");
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(!format!("{error} {error:?}").contains("lines"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_base_url_s_last_slash_is_not_doubled() {
        let config =
            HubSpotConfig { base_url: "http://127.0.0.1:9/".into(), ..HubSpotConfig::default() };
        let server = crate::hubspot::scripted::RollingServer::new(100, 0..=0);
        let url = client(&config, server).list_url(&CONTACTS, &list(), None);
        assert!(url.starts_with("http://127.0.0.1:9/crm/"), "{url}");
    }
}
