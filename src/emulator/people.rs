//! The account's users: owners and their teams.

use serde_json::{Value, json};

use super::moment;
use super::seed::draw::{Draw, salt};

/// A user or queue that can own records.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) id: u64,
    pub(crate) user_id: u64,
    pub(crate) email: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    /// Positions in [`TEAMS`].
    pub(crate) team: Option<usize>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) archived: bool,
}

const NAMES: [(&str, &str); 9] = [
    ("Alma", "Reyes"),
    ("Bastian", "Vogt"),
    ("Carmen", "Ortiz"),
    ("Dmitri", "Sokol"),
    ("Esther", "Mensah"),
    ("Farid", "Nasser"),
    ("Gudrun", "Helmi"),
    ("Hana", "Sato"),
    ("Igor", "Left"),
];

const TEAMS: [(&str, &str); 2] = [("412001", "Sales EMEA"), ("412002", "Customer Success")];

/// The owners of a seed; the last one has left the company.
pub(crate) fn owners(seed: u64) -> Vec<Owner> {
    let owner = |(turn, (first_name, last_name)): (usize, &(&'static str, &'static str))| {
        let draw = Draw::of(seed, salt("owners"), turn as u64);
        let created = 1_523_279_816_625 + turn as i64 * moment::DAY * 211;
        Owner {
            id: 31_871_800 + turn as u64 * 67 + draw.below(60),
            user_id: 2_506_600 + turn as u64 * 9_973 + draw.of_property(1).below(9_000),
            email: format!("{}@hublake-demo.example", first_name.to_lowercase()),
            first_name: (*first_name).to_owned(),
            last_name: (*last_name).to_owned(),
            team: (turn % 3 != 2).then_some(turn % 3),
            created,
            updated: created + draw.of_property(2).below(moment::DAY as u64 * 90) as i64,
            archived: turn == NAMES.len() - 1,
        }
    };
    NAMES.iter().enumerate().map(owner).collect()
}

impl Owner {
    /// The owner as the owners API answers it.
    pub(crate) fn to_json(&self) -> Value {
        let mut body = json!({
            "id": self.id.to_string(),
            "email": self.email,
            "type": "PERSON",
            "firstName": self.first_name,
            "lastName": self.last_name,
            "userId": (!self.archived).then_some(self.user_id),
            "userIdIncludingInactive": self.user_id,
            "createdAt": moment::exact(self.created),
            "updatedAt": moment::exact(self.updated),
            "archived": self.archived,
        });
        if let Some(team) = self.team.filter(|_| !self.archived) {
            let (id, name) = TEAMS[team];
            body["teams"] = json!([{"id": id, "name": name, "primary": true}]);
        }
        body
    }
}
