//! Words to make names of. First and family names are common ones of several
//! countries, joined at random; company names are invented, and every domain
//! lies under a top-level domain that RFC 2606 reserves.

/// Given names, as written in address books.
pub(crate) const FIRST: &[&str] = &[
    "Anna", "Ben", "Clara", "David", "Elif", "Felix", "Greta", "Hugo", "Ines", "Jonas", "Katja",
    "Liam", "Mia", "Noah", "Olga", "Paul", "Quentin", "Rosa", "Samir", "Tara", "Uma", "Viktor",
    "Wanda", "Xavier", "Yusuf", "Zoe", "Amélie", "Björn", "Chloë", "Łukasz", "Søren", "José",
    "Nuria", "Aiko", "Ravi", "Priya", "Chen", "Fatima", "Omar", "Leila", "Marek", "Ewa", "Tomás",
    "Ingrid", "Kwame", "Nia", "Mateo", "Sofia", "Ivan", "Petra",
];

/// Family names.
pub(crate) const LAST: &[&str] = &[
    "Keller",
    "Novak",
    "Lindqvist",
    "Okafor",
    "Tanaka",
    "Moreau",
    "Rossi",
    "Fischer",
    "Baker",
    "Silva",
    "Kowalski",
    "Jansen",
    "Haddad",
    "Iyer",
    "Nguyen",
    "Müller",
    "O'Neill",
    "Peeters",
    "Andersson",
    "Costa",
    "Demir",
    "Eriksen",
    "Fontaine",
    "García",
    "Horvat",
    "Ibrahim",
    "Jung",
    "Kaya",
    "Laurent",
    "Meyer",
    "Nielsen",
    "Olsen",
    "Popescu",
    "Quist",
    "Rivera",
    "Schmidt",
    "Thorne",
    "Ueda",
    "Varga",
    "Weber",
    "Young",
    "Zimmer",
    "de Vries",
    "van den Berg",
    "Sørensen",
    "Ćosić",
    "Yıldız",
    "Björk",
    "Çelik",
    "Dufour",
];

/// [`FIRST`] as it stands in an email address.
pub(crate) const FIRST_PLAIN: &[&str] = &[
    "anna", "ben", "clara", "david", "elif", "felix", "greta", "hugo", "ines", "jonas", "katja",
    "liam", "mia", "noah", "olga", "paul", "quentin", "rosa", "samir", "tara", "uma", "viktor",
    "wanda", "xavier", "yusuf", "zoe", "amelie", "bjoern", "chloe", "lukasz", "soeren", "jose",
    "nuria", "aiko", "ravi", "priya", "chen", "fatima", "omar", "leila", "marek", "ewa", "tomas",
    "ingrid", "kwame", "nia", "mateo", "sofia", "ivan", "petra",
];

/// [`LAST`] as it stands in an email address.
pub(crate) const LAST_PLAIN: &[&str] = &[
    "keller",
    "novak",
    "lindqvist",
    "okafor",
    "tanaka",
    "moreau",
    "rossi",
    "fischer",
    "baker",
    "silva",
    "kowalski",
    "jansen",
    "haddad",
    "iyer",
    "nguyen",
    "mueller",
    "oneill",
    "peeters",
    "andersson",
    "costa",
    "demir",
    "eriksen",
    "fontaine",
    "garcia",
    "horvat",
    "ibrahim",
    "jung",
    "kaya",
    "laurent",
    "meyer",
    "nielsen",
    "olsen",
    "popescu",
    "quist",
    "rivera",
    "schmidt",
    "thorne",
    "ueda",
    "varga",
    "weber",
    "young",
    "zimmer",
    "devries",
    "vandenberg",
    "soerensen",
    "cosic",
    "yildiz",
    "bjoerk",
    "celik",
    "dufour",
];

/// First words of company names.
pub(crate) const COMPANY_FIRST: &[&str] = &[
    "Amber", "Blue", "Cedar", "Delta", "Ember", "Fern", "Granite", "Harbour", "Iron", "Juniper",
    "Kestrel", "Lumen", "Maple", "North", "Opal", "Pine", "Quartz", "River", "Silver", "Tidal",
    "Umber", "Violet", "Willow", "Yarrow", "Zephyr", "Basalt", "Copper", "Dune", "Falcon",
    "Glacier",
];

/// Second words of company names.
pub(crate) const COMPANY_SECOND: &[&str] = &[
    "Analytics",
    "Bakery",
    "Cloud",
    "Dynamics",
    "Energy",
    "Foods",
    "Goods",
    "Health",
    "Industries",
    "Joinery",
    "Kitchens",
    "Logistics",
    "Media",
    "Networks",
    "Optics",
    "Partners",
    "Quality",
    "Robotics",
    "Systems",
    "Travel",
    "Utilities",
    "Ventures",
    "Works",
    "Textiles",
    "Studios",
];

/// Legal forms, the empty one included.
pub(crate) const COMPANY_FORM: &[&str] = &["GmbH", "Ltd", "Inc.", "S.A.", "AB", "B.V.", "", "LLC"];

/// Domains of free-mail providers that do not exist.
pub(crate) const FREE_MAIL: &[&str] = &["postbox.example", "webmail.test", "freepost.example"];

/// Countries in the many spellings a form without a list collects.
pub(crate) const COUNTRY: &[&str] = &[
    "Germany",
    "germany",
    "GERMANY",
    "Deutschland",
    "France",
    "france",
    "United States",
    "USA",
    "united states",
    "United Kingdom",
    "UK",
    "Netherlands",
    "The Netherlands",
    "Sweden",
    "Poland",
    "Japan",
    "日本",
    "Spain",
    "España",
    "Brazil",
    "India",
    "Canada",
    "CANADA ",
    "Austria",
];

/// Towns.
pub(crate) const CITY: &[&str] = &[
    "Berlin", "Lyon", "Boston", "Leeds", "Utrecht", "Malmö", "Kraków", "Osaka", "Valencia",
    "Recife", "Pune", "Toronto", "Graz", "Hamburg", "Porto", "Ghent", "Oslo", "Zürich", "Austin",
    "Dublin",
];

/// Job titles, some as people type them.
pub(crate) const JOB: &[&str] = &[
    "Head of Sales",
    "CEO",
    "ceo",
    "Account Executive",
    "Marketing Manager",
    "CTO",
    "Data Analyst",
    "VP Engineering ",
    "Founder 🚀",
    "Office Manager",
    "Customer Success Manager",
    "Buyer",
    "Software Engineer",
    "Product Owner",
    "Finanzleiterin",
    "مدير المبيعات",
    "Intern",
    "COO",
];

/// Free text that people leave on records.
pub(crate) const REMARK: &[&str] = &[
    "Met at the trade fair, wants a call in spring",
    "Asked for \"enterprise\" pricing \\ discount",
    "Prefers e-mail; do not phone",
    "Line one\nLine two\twith a tab",
    "שלום, לקוח ותיק",
    "Renewal due. 👍🏽",
    "   ",
    "Trailing space ",
    "\u{200b}Zero\u{200d}width\u{feff}",
    "Next\u{85}line, vertical\u{b}tab, bell\u{7}",
    "e\u{301}a\u{308} combined, éä not",
    "<b>bold</b> &amp; <script>alert(1)</script>",
    "会議のあと、見積もりを送る",
    "עברית and English, mixed \u{202e}reversed\u{202c}",
    "👩‍👩‍👧‍👦 🇩🇪 🏳️‍🌈",
    "'; drop table contacts; --",
    "=1+1",
    "null",
];

/// Sentences that notes are made of.
pub(crate) const SENTENCE: &[&str] = &[
    "Spoke to the buyer about the renewal.",
    "They want to see the reporting module first.",
    "Budget is decided in Q3; call again in July.",
    "She asked for references in the food industry…",
    "Wollen erst mit dem Betriebsrat sprechen – Rückruf nächste Woche.",
    "Prix trop élevé par rapport à la concurrence « locale ».",
    "Sent the offer, no answer yet 🙁",
    "予算は来月決まります。",
    "العميل مهتم بالعرض الجديد",
    "Left a voicemail.",
    "Security questionnaire: 214 questions, due Friday.",
    "\"We are happy with what we have\", said the CTO.",
    "Path on their share: \\\\srv\\offers\\2025",
    "Next step: demo with the whole team",
    "Mentioned that the contract with the old supplier ends on 31.12.",
];

/// Outcomes of calls, by their ids.
pub(crate) const OUTCOME: &[&str] = &[
    "f240bbac-87c9-4f6e-bf70-924b57d47db7",
    "b2cf5968-551e-4856-9783-52b3da59a7d0",
    "73a0d17f-1163-4015-bdd5-ec830791da20",
];

/// Streets.
pub(crate) const STREET: &[&str] = &[
    "Hauptstraße 12",
    "12 High Street",
    "1 Rue de la Paix",
    "Calle Mayor, 3 2ºB",
    "P.O. Box 1234",
    "c/o Front Desk\n5th floor",
    "55 Market St Ste 200 ",
    "三丁目2番1号",
];

/// States and regions.
pub(crate) const STATE: &[&str] =
    &["CA", "California", "california", "NRW", "Bayern", "Île-de-France", "Ontario", "N/A", "-"];

/// Pages of a made-up site.
pub(crate) const URLS: &[&str] = &[
    "https://www.shop.example/",
    "https://www.shop.example/pricing?utm_source=newsletter&utm_medium=email",
    "https://blog.shop.example/2025/03/how-to-count",
    "http://shop.example/d%C3%A9mo",
    "https://search.example/?q=crm+software",
    "https://www.shop.example/download/whitepaper.pdf#page=3",
];

/// Profiles on a made-up network.
pub(crate) const PROFILES: &[&str] = &[
    "https://www.people.example/in/amelie",
    "people.example/in/jose",
    "HTTPS://PEOPLE.EXAMPLE/IN/OLGA",
    "@growth",
];

/// Where records come from, in words.
pub(crate) const SOURCES: &[&str] = &[
    "CRM_UI",
    "API",
    "INTEGRATION",
    "IMPORT",
    "Unknown keywords (SSL)",
    "shop.example",
    "1024738",
];

/// Forms that were sent in.
pub(crate) const FORMS: &[&str] = &[
    "Newsletter: Footer",
    "Demo request: /demo",
    "Whitepaper – „Zählen leicht gemacht“: Form 3",
    "Contact us (copy) (copy): https://www.shop.example/contact",
];

/// Marketing emails.
pub(crate) const CAMPAIGNS: &[&str] =
    &["2025-03 Newsletter", "[A/B] Spring sale 🌷", "Onboarding 1/5", "Re: Onboarding 2/5 (copy)"];

/// Country codes.
pub(crate) const ISO: &[&str] = &["DE", "de", "FR", "US", "GB", "NL", "SE", "PL", "JP", "ES"];

/// Country codes of telephone numbers.
pub(crate) const CODES: &[&str] = &["DE", "US", "FR", "GB", "JP"];

/// Time zones as the service names them.
pub(crate) const ZONES: &[&str] =
    &["europe_slash_berlin", "us_slash_eastern", "asia_slash_tokyo", "us_slash_pacific"];

/// Latitudes and longitudes.
pub(crate) const PLACES: &[&str] = &["52.52,13.405", "45.764,4.8357", "42.3601,-71.0589"];

/// Days of birth as people type them.
pub(crate) const BIRTHS: &[&str] = &["1984-03-01", "01.03.1984", "3/1/84", "March 1st", "1.1.1900"];

/// Genders as people type them.
pub(crate) const GENDERS: &[&str] = &["female", "male", "f", "M", "diverse", "Weiblich "];

/// Click ids of advertisements.
pub(crate) const CLICKS: &[&str] = &["EAIaIQobChMI-made-up-1", "Cj0KCQjw-made-up-2"];

/// Amounts of money that are texts.
pub(crate) const MONEY: &[&str] = &["1000000", "$5M", "€ 2,5 Mio.", "undisclosed"];

/// Titles of calls, meetings and tasks, and subjects of emails.
pub(crate) const TITLE: &[&str] = &[
    "Call back",
    "Follow-up",
    "Demo with the whole team",
    "RE: RE: FW: Offer",
    "Re: your question ❓",
    "Kennenlernen",
    "Send the contract (signed!)",
    "",
    "打ち合わせ",
    " Quarterly review ",
];

/// The list of a name, as the texts of plans have it.
pub(super) fn list(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "CITY" => CITY,
        "COUNTRY" => COUNTRY,
        "STATE" => STATE,
        "STREET" => STREET,
        "URLS" => URLS,
        "PROFILES" => PROFILES,
        "SOURCES" => SOURCES,
        "FORMS" => FORMS,
        "CAMPAIGNS" => CAMPAIGNS,
        "ISO" => ISO,
        "CODES" => CODES,
        "ZONES" => ZONES,
        "PLACES" => PLACES,
        "BIRTHS" => BIRTHS,
        "GENDERS" => GENDERS,
        "CLICKS" => CLICKS,
        "MONEY" => MONEY,
        _ => return None,
    })
}
