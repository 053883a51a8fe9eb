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
];
