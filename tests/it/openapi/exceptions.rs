//! Where the service is known to differ from its descriptions.

/// How an answer differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Differs {
    /// Null where something else is described.
    Null,
    /// A number where something else is described.
    Number,
    /// A text where something else is described.
    Text,
    /// A described value that is of another form, or no value of its list.
    Value,
    /// A member that has to be there is not.
    Missing,
    /// A member that is not described.
    Unknown,
    /// A success of another status.
    Status,
    /// A body where none is described.
    Body,
    /// A body that is not JSON.
    NoJson,
    /// The call itself is not described.
    Undescribed,
}

/// A difference that is right.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Exception {
    /// Method and path, as called or as described, or `nowhere` for what is not
    /// described. This and the next two are patterns, in which `*` stands for
    /// anything without a slash and `**` for anything.
    pub(crate) call: &'static str,
    pub(crate) status: &'static str,
    /// Where in the body, as a JSON pointer.
    pub(crate) place: &'static str,
    pub(crate) differs: Differs,
    /// Why it is right, and who says so: a section of the API reference
    /// (`api`), or an entry of what was observed (`observed`).
    pub(crate) reason: &'static str,
}

macro_rules! exceptions {
    ($($call:literal $status:literal $place:literal $differs:ident $reason:literal;)*) => {
        &[$(Exception {
            call: $call,
            status: $status,
            place: $place,
            differs: Differs::$differs,
            reason: $reason,
        },)*]
    };
}

/// All of them; each is needed by an answer of the emulator, which a test shows.
pub(crate) const EXCEPTIONS: &[Exception] = exceptions! {
    // Call, status, place, difference, reason.

    // Records.
    "** /crm/v3/objects/**" "2**" "**/properties/*" Null
        "values are strings or null: api 4, observed 13";
    "** /crm/v3/objects/**" "2**" "/url" Unknown
        "beside `id` since about 2025: observed 18";
    "** /crm/v3/objects/**" "2**" "/results/*/url" Unknown
        "beside `id` since about 2025: observed 18";
    // Associations.
    "** /crm/v4/**" "2**" "**/toObjectId" Number
        "ids of associates are numbers: api 11, observed 13";
    "** /crm/v4/**" "2**" "**/fromObjectId" Number
        "ids of associates are numbers: api 11, observed 13";
    "** /crm/v4/**" "2**" "**/label" Null
        "the unlabelled kind has the label null: api 11";
    "POST /crm/associations/2026-03/*/*/batch/**" "200" "" Status
        "dated archives answer 200 with an empty batch, v4 ones 204: api 15";
    "PUT /crm/v3/objects/*/*/associations/*/*/*" "200" "" Undescribed
        "version 3 of associations: recorded, not described";
    // Properties, schemas, owners, lists.
    "** /crm/v3/properties/**" "2**" "**/dataSensitivity" Unknown
        "on properties since 2024: api 9, observed 19";
    "** /crm-object-schemas/v3/**" "2**" "**/metaType" Unknown
        "HUBSPOT or PORTAL_SPECIFIC: observed 19";
    "** /crm-object-schemas/v3/**" "2**" "**/allowsSensitiveProperties" Unknown
        "a member of schemas: api 10";
    "** /crm-object-schemas/v3/**" "2**" "**/associations/*/createdAt" Null
        "associations of a schema have no times: observed 19";
    "** /crm-object-schemas/v3/**" "2**" "**/associations/*/updatedAt" Null
        "associations of a schema have no times: observed 19";
    "** /crm-object-schemas/v3/**" "2**" "**/description" Null
        "unverified: this API sends null for what it lacks (observed 19), a client must bear it";
    "** /crm-object-schemas/v3/**" "2**" "**/primaryDisplayProperty" Null
        "unverified: this API sends null for what it lacks (observed 19), a client must bear it";
    "GET /crm/v3/owners/**" "200" "**/userId" Null
        "archived owners have no user: api 12";
    "** /crm/v3/lists/**" "200" "**/membershipSettings/*" Null
        "recorded: both members are null where nobody set them";
    "PUT /crm/v3/lists/*/memberships/**" "200" "/*" Missing
        "each of the three lists is left out when empty: observed 20";
    // Parts of a batch that failed.
    "POST **" "207" "/errors/*/links" Missing
        "entries have status, category, message, at times subCategory and context: observed, 207";
    "POST **" "207" "/errors/*/errors" Missing
        "entries have status, category, message, at times subCategory and context: observed, 207";
    "POST /crm/v4/associations/**" "207" "/errors/*/context" Missing
        "recorded: an id that is not valid comes without a context";
    // Refusals.
    "**" "4**" "/status" Unknown
        "every error says `error` here: api 1";
    "** /crm/v3/objects/**" "404" "/category" Missing
        "a missing record has no category: observed, 404";
    "** /crm/v4/objects/**" "404" "/category" Missing
        "a missing record has no category: observed, 404";
    "nowhere" "404" "/category" Missing
        "unverified: a missing route answers as a missing record does";
    "** /crm/**" "400" "/category" Missing
        "unknown object types and bodies of the wrong form have none: observed, 400";
    "POST /crm/v3/lists/search" "400" "/errors/*" Text
        "without a body, errors are plain texts: observed, 400";
    "**" "405" "/category" Missing
        "unverified: the body is not published";
    "**" "404" "" NoJson
        "HTML unless JSON is asked for: observed, 404";
    "GET **" "414" "" NoJson
        "the gateway's HTML page: api 1";
    "**" "5**" "" NoJson
        "gateways answer in HTML: api 1";
    "**" "477" "/category" Missing
        "the body of 477 is not published: api 1";
    "**" "429" "/category" Missing
        "the burst limit's own body: api 3, observed, 429";
    "**" "429" "/errorType" Unknown
        "the burst limit's own body: api 3, observed, 429";
    "**" "429" "/policyName" Unknown
        "the burst limit's own body: api 3, observed, 429";
    "**" "429" "/groupName" Unknown
        "the burst limit's own body: api 3, observed, 429";
    "**" "429" "/requestId" Unknown
        "the burst limit's own body: api 3, observed, 429";
};
