//! What a run associated or put into a list, and what it took away, planned back:
//! as far as neither hublake nor anybody else has touched it since.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use datafusion::execution::disk_manager::DiskManagerBuilder;

use super::decide::{Action, Change, Verdict};
use super::images::{self, Image, Later, Touched, Undone};
use super::rows::{Row, Rows};
use super::sheet::Sheet;
use super::summary::PlanSummary;
use super::undo::{UndoRequest, heading};
use super::{BUCKET_ROWS, MOST_BUCKETS};
use crate::hubspot::Client;
use crate::lake::{Lake, Table};
use crate::load::config::{GuardsConfig, WriteBackConfig};
use crate::load::error::{LoadError, While};
use crate::load::links::{
    AssociateConfig, Kind, LABEL_ONLY, LINKED, LabelConfig, LinkPolicy, ListConfig, ListState,
    PRIMARY_MOVES, Part, READ_AT_ONCE, Type, by_record, has_other_labels, held, labels, list_state,
    verdicts,
};
use crate::load::outcome::{Counts, Outcome};
use crate::load::policy::Kept;
use crate::load::written;
use crate::objects::RecordId;

const DOING: &str = "planning an undo";

const SHARED: &str = "Somebody else made the association theirs too";
const FORMER_PRIMARY: &str =
    "Which record was the primary one before is not on record: choose it in HubSpot";

/// Settings by which a part can be taken back: `plain` with what the ledger calls
/// its object (`contacts.companies`, `contacts.list.NAME`) and one of the links.
/// `list` is the list that the settings name today.
pub(super) fn link_config(
    mut plain: WriteBackConfig,
    target: &str,
    link: Option<&str>,
    list: Option<&ListConfig>,
) -> WriteBackConfig {
    if let Some(name) = target.strip_prefix("list.") {
        let is_it = |list: &&ListConfig| list.ledger_name() == name;
        let named = ListConfig {
            create: false,
            exact: false,
            policy: LinkPolicy::Overwrite,
            ..ListConfig::of_ledger(name)
        };
        let list = list.filter(is_it).cloned().unwrap_or(named);
        plain.list = Some(ListConfig { create: false, ..list });
    } else if !target.starts_with("event.") {
        let label = link.and_then(|link| link.split_once(':')).map(|(_, label)| label.to_owned());
        let associate = AssociateConfig {
            by: String::new(),
            label: label.map(LabelConfig::Known),
            exclusive: false,
            policy: LinkPolicy::Overwrite,
        };
        plain.associate = BTreeMap::from([(target.to_owned(), associate)]);
    }
    plain.guards = GuardsConfig { min_rows: None, ..plain.guards };
    plain
}

/// Plans a part of a run back. Events cannot be.
///
/// # Errors
/// As [`super::plan`]; a label or list that the account no longer has.
pub(super) async fn plan_links(
    lake: &Lake,
    client: &Client,
    request: UndoRequest<'_>,
) -> Result<PlanSummary, LoadError> {
    let part = Part::find(&request.part.write_back, request.config)?;
    let disk = Arc::new(DiskManagerBuilder::default().build().during(DOING)?);
    let undone = Undone::find(lake, request.undone).await?;
    let count = (request.part.rows / BUCKET_ROWS).clamp(1, MOST_BUCKETS) as usize;
    let (found, records) = images::part(lake, &undone, request.part, count, disk.clone()).await?;
    let table = lake.table(&written::spec().name).await.during(DOING)?;
    let (later, made) =
        images::later(table.as_ref(), request.part, &records, count, disk.clone()).await?;
    let mut world = World::open(lake, client, &part).await?;
    let mut sheet = Sheet::new(heading(&request), disk);
    for (bucket, later) in found.into_iter().zip(later) {
        let images = images::read(&bucket.read()?)?;
        let later = Later::read(&later.read()?, &undone);
        for images in images.chunks(READ_AT_ONCE) {
            if request.stop.is_cancelled() {
                let write_back = request.part.write_back.clone();
                return Err(LoadError::Interrupted { write_back });
            }
            let held = world.read(images).await?;
            let decided = images.iter().flat_map(|image| decide(&part, image, &later, &held));
            let decided: Vec<Decided<'_>> = decided.collect();
            let (mut rows, mut counts) = (Rows::default(), Counts::default());
            for one in &decided {
                counts.wanted += 1;
                counts.add(one.outcome());
                if one.action != Action::Unchanged {
                    rows.push(&one.row())?;
                }
            }
            sheet.take(rows, counts)?;
            world.note(&held, request.now).await?;
        }
    }
    let guards = verdicts(
        &part,
        &request.config.guards,
        &sheet.counts,
        sheet.counts.wanted,
        made,
        request.accepted,
    );
    let plan =
        sheet.store(lake, Some(request.undone.to_owned()), world.reads, made, guards).await?;
    Ok(PlanSummary { batch: part.batch(false) as u64, ..plan })
}

/// What HubSpot has of a record's links, by the other record.
type Held = HashMap<i64, BTreeMap<i64, BTreeSet<Type>>>;

/// HubSpot as it is now, and the mirror that hears of it.
struct World<'a> {
    client: &'a Client,
    part: &'a Part,
    /// The members of a list.
    members: HashSet<i64>,
    mirror: Option<Table>,
    reads: u64,
}

impl<'a> World<'a> {
    async fn open(lake: &Lake, client: &'a Client, part: &'a Part) -> Result<Self, LoadError> {
        let mut world = Self { client, part, members: HashSet::new(), mirror: None, reads: 0 };
        match &part.kind {
            Kind::Associate { .. } => world.mirror = held::mirror(lake).await?,
            Kind::List(list) => {
                if let ListState::There { id } = list_state(client, part, list).await? {
                    world.read_members(&id).await?;
                }
            }
            Kind::Event(_) => {}
        }
        Ok(world)
    }

    async fn read_members(&mut self, list: &str) -> Result<(), LoadError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.client.list_members(list, after.as_deref()).await;
            let (page, next) = page.during("reading the members of a list")?;
            self.reads += 1;
            self.members.extend(page.iter().map(|member| member.record_id.0));
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn read(&mut self, images: &[Image]) -> Result<Held, LoadError> {
        let Kind::Associate { to, .. } = &self.part.kind else {
            let there = images.iter().filter(|image| self.members.contains(&image.record_id));
            let member = || BTreeMap::from([(0, BTreeSet::from([(String::new(), 0, None)]))]);
            return Ok(there.map(|image| (image.record_id, member())).collect());
        };
        let asked: Vec<RecordId> = images.iter().map(|image| RecordId(image.record_id)).collect();
        let found = self.client.associations(&self.part.object, to, &asked).await;
        let found = found.during("reading the associations that an undo touches")?;
        self.reads += 1;
        let mut held = by_record(found);
        for id in asked {
            held.entry(id.0).or_default();
        }
        Ok(held)
    }

    /// Lets the mirror know what was read.
    async fn note(&mut self, held: &Held, now: i64) -> Result<(), LoadError> {
        let (Some(mirror), Kind::Associate { to, .. }) = (&mut self.mirror, &self.part.kind) else {
            return Ok(());
        };
        let covered: Vec<i64> = held.keys().copied().collect();
        held::refresh(mirror, (&self.part.object, to), &covered, &held::rows_of(held), now).await
    }
}

/// What becomes of one link on its way back.
struct Decided<'a> {
    action: Action,
    record: i64,
    match_key: String,
    property: &'a str,
    old: String,
    new: String,
    last_set: &'a str,
    verdict: Verdict,
    category: Option<&'static str>,
    reason: Option<&'static str>,
    theirs: bool,
}

impl Decided<'_> {
    fn outcome(&self) -> Outcome {
        match self.action {
            Action::Unlink => Outcome::Archived,
            Action::Link if self.old.is_empty() => Outcome::Created,
            Action::Link => Outcome::Updated,
            Action::Keep => Outcome::Kept,
            _ => Outcome::Unchanged,
        }
    }

    fn row(&self) -> Row<'_> {
        let change = Change {
            property: self.property,
            new: self.new.as_str().into(),
            old: self.old.as_str().into(),
            last_set: Some(self.last_set),
            verdict: self.verdict,
            conflict: false,
            theirs: self.theirs,
        };
        Row {
            action: self.action,
            record_id: Some(self.record),
            match_key: Some(&self.match_key),
            changes: vec![change],
            category: self.category,
            reason: self.reason,
            fingerprint: 0,
        }
    }

    fn keep(self, kept: Kept, reason: Option<&'static str>) -> Self {
        let verdict = Verdict::Keep(kept);
        Self { action: Action::Keep, verdict, reason, category: None, ..self }
    }
}

fn decide<'a>(part: &Part, image: &'a Image, later: &Later, held: &Held) -> Vec<Decided<'a>> {
    let none = BTreeMap::new();
    let now = held.get(&image.record_id).unwrap_or(&none);
    let meant = |(name, touched): &(&'a String, &'a Touched)| {
        later.may_be_written(image.record_id, name, touched)
    };
    let one = |(name, touched): (&'a String, &'a Touched)| {
        let other = part.other(name)?;
        Some(link(part, image, later, now, (name, other, touched)))
    };
    image.touched.iter().filter(meant).filter_map(one).collect()
}

fn link<'a>(
    part: &Part,
    image: &'a Image,
    later: &Later,
    now: &BTreeMap<i64, BTreeSet<Type>>,
    (name, other, touched): (&'a str, i64, &'a Touched),
) -> Decided<'a> {
    let is_list = matches!(part.kind, Kind::List(_));
    let has_label = |types: &BTreeSet<Type>| match part.label() {
        None => !types.is_empty(),
        wanted => types.iter().any(|(.., label)| label.as_deref() == wanted),
    };
    let types = now.get(&other);
    let was_made = !touched.sent.is_empty();
    let decided = Decided {
        action: if was_made { Action::Unlink } else { Action::Link },
        record: image.record_id,
        match_key: match is_list {
            true => image.record_id.to_string(),
            false => format!("{}/{other}", image.record_id),
        },
        property: name,
        old: match types {
            None => String::new(),
            Some(_) if is_list => LINKED.to_owned(),
            Some(types) => labels(types),
        },
        new: match was_made {
            true => String::new(),
            false => part.label().unwrap_or(LINKED).to_owned(),
        },
        last_set: &touched.sent,
        verdict: Verdict::Write,
        category: None,
        reason: None,
        theirs: !was_made && !touched.before_ours,
    };
    if types.is_some_and(has_label) != was_made {
        // It is as the run found it.
        return Decided { action: Action::Unchanged, ..decided };
    }
    if later.wrote_since(image.record_id, name, touched) {
        return decided.keep(Kept::WrittenSince, None);
    }
    let primary_now = now.iter().find(|(id, types)| **id != other && has_label(types));
    match (was_made, types) {
        _ if is_list => decided,
        (true, _) if part.is_primary() && (now.len() > 1 || !touched.before.is_empty()) => {
            decided.keep(Kept::Unwritable, Some(FORMER_PRIMARY))
        }
        (true, Some(types)) => {
            let is_shared = !touched.before.is_empty() || has_other_labels(types, part.label());
            match (is_shared, part.label()) {
                (true, None) => decided.keep(Kept::ChangedSince, Some(SHARED)),
                (true, Some(_)) => Decided { category: Some(LABEL_ONLY), ..decided },
                (false, _) => decided,
            }
        }
        (false, _) if part.is_primary() && primary_now.is_some() => {
            let of_run = primary_now.is_some_and(|(id, _)| {
                let made = image.touched.get(&part.property(*id));
                made.is_some_and(|made| {
                    !made.sent.is_empty()
                        && !later.wrote_since(image.record_id, &part.property(*id), made)
                })
            });
            match of_run {
                true => Decided { category: Some(PRIMARY_MOVES), ..decided },
                false => decided.keep(Kept::ChangedSince, None),
            }
        }
        _ => decided,
    }
}

/// Whether a part's links can be taken back: events cannot.
pub(super) fn can_be_undone(object: &str) -> bool {
    let target = object.split_once('.').map_or("", |(_, target)| target);
    !target.is_empty() && !target.starts_with("event.")
}

/// The object type whose records the part is about.
pub(super) fn object_of(object: &str) -> &str {
    object.split_once('.').map_or(object, |(object, _)| object)
}
