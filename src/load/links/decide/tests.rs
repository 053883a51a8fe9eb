use super::*;

const DAY: i64 = 86_400_000_000;

fn part(yaml: &str) -> Part {
    let yaml = format!("{{ object: contacts, match: {{ record_id: id }}, {yaml} }}");
    let config = serde_saphyr::from_str(&yaml).expect("settings");
    Part::all("w", &config).remove(0)
}

fn kind(id: i64, label: Option<&str>) -> Type {
    ("HUBSPOT_DEFINED".to_owned(), id, label.map(str::to_owned))
}

fn made(value: &str, before: &str, at: i64) -> Last {
    let entry = Entry { value: value.to_owned(), before: before.to_owned(), at };
    Last { written: Some(entry), intended: None }
}

fn group(wants: &[&str], held: &[(i64, &[Type])], last: &[(&str, Last)]) -> Group {
    let want = |to: &&str| Want { given: "1".into(), columns: vec![Some((*to).to_owned())] };
    Group {
        record: 1,
        wants: wants.iter().map(want).collect(),
        held: held.iter().map(|(to, types)| (*to, types.iter().cloned().collect())).collect(),
        last: last.iter().map(|(name, last)| ((*name).to_owned(), last.clone())).collect(),
    }
}

/// Actions with what they are about, in order.
async fn words(part: &Part, group: &Group) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = crate::lake::Lake::open(&crate::lake::LakeConfig::default(), folder.path()).await;
    let lake = lake.expect("a lake");
    let book = crate::load::rejects::RejectBook::open(&lake, "p", "w", "o", "r", DAY).await;
    let rules = Rules {
        part,
        nulls: Nulls::Skip,
        lag: Lag { now: 10 * DAY, length: 1_000_000 },
        known: &book.expect("no rejects").known(),
        aliases: &HashMap::new(),
        event_properties: &[],
    };
    let word = |one: Decided| format!("{} {}", one.action.name(), one.property);
    rules.decide(group).into_iter().map(word).collect()
}

#[tokio::test]
async fn a_link_is_made_where_it_is_not_and_left_where_it_is() {
    let part = part("associate: { companies: { by: c, label: Owner } }");
    let owner = [kind(5, Some("Owner"))];
    assert_eq!(words(&part, &group(&["9"], &[], &[])).await, ["link 9:Owner"]);
    assert_eq!(words(&part, &group(&["9"], &[(9, &owner)], &[])).await, ["unchanged "]);
    let plain = [kind(279, None)];
    assert_eq!(words(&part, &group(&["9"], &[(9, &plain)], &[])).await, ["link 9:Owner"]);
    assert_eq!(words(&part, &group(&["x"], &[], &[])).await, ["rejected "]);
}

#[tokio::test]
async fn what_a_person_took_away_is_made_again_only_where_the_policy_says_so() {
    let gone = [("9:Owner", made("Owner", "", DAY))];
    let yielding = part("associate: { companies: { by: c, label: Owner } }");
    assert_eq!(words(&yielding, &group(&["9"], &[], &gone)).await, ["kept 9:Owner"]);
    let winning = part("associate: { companies: { by: c, label: Owner, policy: overwrite } }");
    assert_eq!(words(&winning, &group(&["9"], &[], &gone)).await, ["link 9:Owner"]);
    let fresh = [("9:Owner", made("Owner", "", 10 * DAY - 1))];
    assert_eq!(words(&yielding, &group(&["9"], &[], &fresh)).await, ["deferred 9:Owner"]);
    // A write of a cut-off run that may not have come about is no person's edit.
    let open = Last {
        intended: Some(Entry { value: "Owner".into(), before: String::new(), at: 2 * DAY }),
        ..made("Owner", "", DAY)
    };
    assert_eq!(words(&yielding, &group(&["9"], &[], &[("9:Owner", open)])).await, ["link 9:Owner"]);
    let back = [("9:Owner", made("", "Owner", DAY))];
    assert_eq!(words(&yielding, &group(&["9"], &[], &back)).await, ["link 9:Owner"]);
}

#[tokio::test]
async fn only_what_hublake_made_is_taken_back() {
    let part = part("associate: { companies: { by: c, label: Owner, exclusive: true } }");
    let owner = [kind(5, Some("Owner"))];
    let held: [(i64, &[Type]); 2] = [(8, &owner), (9, &owner)];
    assert_eq!(words(&part, &group(&["9"], &held, &[])).await, ["unchanged "]);
    let ours = [("8:Owner", made("Owner", "", DAY))];
    assert_eq!(words(&part, &group(&["9"], &held, &ours)).await, ["unchanged ", "unlink 8:Owner"]);
    assert_eq!(
        words(&part, &group(&[""], &held, &ours)).await,
        ["unchanged "],
        "no row says anything"
    );
}

#[tokio::test]
async fn the_primary_one_moves_only_from_where_hublake_put_it() {
    let part = part("associate: { companies: { by: c, label: Primary } }");
    let primary = [kind(1, Some("Primary")), kind(279, None)];
    let theirs = group(&["9"], &[(8, &primary)], &[]);
    assert_eq!(words(&part, &theirs).await, ["kept 9:Primary"]);
    let ours = group(&["9"], &[(8, &primary)], &[("8:Primary", made("Primary", "", DAY))]);
    assert_eq!(words(&part, &ours).await, ["link 9:Primary"]);
    // It moves back, though the record lacks what hublake once gave it.
    let back = [("8:Primary", made("Primary", "", DAY)), ("9:Primary", made("Primary", "", DAY))];
    let plain = [kind(279, None)];
    let moved = group(&["9"], &[(8, &primary), (9, &plain)], &back);
    assert_eq!(words(&part, &moved).await, ["link 9:Primary"]);
    let two = group(&["8", "9"], &[], &[]);
    assert_eq!(words(&part, &two).await, ["rejected ", "rejected "]);
}

#[tokio::test]
async fn a_list_loses_hublake_s_own_members_and_all_others_only_if_exact() {
    let held: [(i64, &[Type]); 1] = [(0, &[("".to_owned(), 0, None)])];
    let some = part("list: { name: L }");
    assert!(words(&some, &group(&[], &held, &[])).await.is_empty());
    let ours = [("member", made(LINKED, "", DAY))];
    assert_eq!(words(&some, &group(&[], &held, &ours)).await, ["unlink member"]);
    let exact = part("list: { name: L, exact: true }");
    assert_eq!(words(&exact, &group(&[], &held, &[])).await, ["unlink member"]);
    assert_eq!(words(&some, &group(&["", ""], &[], &[])).await, ["link member", "unchanged "]);
}

#[tokio::test]
async fn an_event_is_sent_once() {
    let part = part("event: { name: pe1_x, key: k }");
    assert_eq!(words(&part, &group(&["a", "b"], &[], &[])).await, ["link a", "link b"]);
    let sent = [("a", made("{}", "", DAY))];
    assert_eq!(words(&part, &group(&["a", "b"], &[], &sent)).await, ["unchanged ", "link b"]);
    assert_eq!(words(&part, &group(&["a", "a"], &[], &[])).await, ["rejected ", "rejected "]);
}
