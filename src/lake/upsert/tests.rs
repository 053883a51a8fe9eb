//! The upsert as a whole: against a model, under faults, at its edges.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use object_store::memory::InMemory;
use proptest::prelude::*;

use super::*;
use crate::lake::testing::{
    Fault, FaultyStore, Person, contents, ids, lake_over, memory_lake, people, person_spec,
    stored_people,
};
use crate::lake::{TableName, TableSpec};

fn changed(rows: &[Person]) -> Changes {
    Changes {
        rows: vec![people(rows)],
        deletes: None,
        newer_by: Some("updated_at".into()),
        ignore: vec!["_synced_at".into()],
    }
}

fn cursor(value: i64) -> Cursor {
    Cursor { app_id: "people".into(), value }
}

async fn people_table() -> Table {
    memory_lake().open_or_create(&person_spec()).await.expect("a table")
}

#[tokio::test]
async fn rows_are_inserted_updated_left_and_deleted() {
    let mut table = people_table().await;
    let first = [Person::new(1, "Ada", 10), Person::new(2, "Bob", 10), Person::new(3, "Cy", 10)];
    let counts = table.upsert(changed(&first), &[cursor(1)]).await.expect("inserted");
    assert_eq!(counts, UpsertCounts { inserted: 3, ..UpsertCounts::default() });

    let next = Changes {
        deletes: Some(ids(&[3, 99])),
        ..changed(&[Person::new(2, "Bo", 11), Person::new(1, "Ada", 10), Person::new(4, "Di", 1)])
    };
    let counts = table.upsert(next, &[cursor(2)]).await.expect("merged");
    assert_eq!(counts, UpsertCounts { inserted: 1, updated: 1, unchanged: 1, deleted: 1 });
    let expected = [Person::new(1, "Ada", 10), Person::new(2, "Bo", 11), Person::new(4, "Di", 1)];
    assert_eq!(stored_people(&table).await, expected);
    assert_eq!((table.row_count(), table.cursor("people")), (3, Some(2)));
}

#[tokio::test]
async fn nothing_changed_is_no_commit_and_a_cursor_alone_adds_no_file() {
    let mut table = people_table().await;
    let rows = [Person::new(1, "Ada", 10)];
    table.upsert(changed(&rows), &[cursor(5)]).await.expect("inserted");
    let (version, files) = (table.version(), table.data_files());

    let again = [Person { synced_at: Some(99), ..rows[0].clone() }];
    let counts = table.upsert(changed(&again), &[cursor(5)]).await.expect("merged");
    assert_eq!(counts, UpsertCounts { unchanged: 1, ..UpsertCounts::default() });
    assert_eq!(table.version(), version);

    table.upsert(changed(&again), &[cursor(4)]).await.expect("a cursor never goes back");
    assert_eq!((table.version(), table.cursor("people")), (version, Some(5)));

    table.upsert(changed(&again), &[cursor(6)]).await.expect("the cursor moves");
    assert_eq!((table.version(), table.data_files()), (version + 1, files));
    assert_eq!(table.cursor("people"), Some(6));
    assert_eq!(stored_people(&table).await, rows);
}

#[tokio::test]
async fn a_stale_row_does_not_come_back() {
    let mut table = people_table().await;
    table.upsert(changed(&[Person::new(1, "new", 20)]), &[]).await.expect("inserted");
    let counts = table.upsert(changed(&[Person::new(1, "old", 10)]), &[]).await.expect("merged");
    assert_eq!(counts.unchanged, 1);
    // Of an equal age, or of none, the values decide.
    let unknown = Person { updated_at: None, ..Person::new(1, "unknown", 0) };
    for row in [Person::new(1, "same age", 20), unknown] {
        let counts = table.upsert(changed(std::slice::from_ref(&row)), &[]).await.expect("merged");
        assert_eq!(counts.updated, 1);
        assert_eq!(stored_people(&table).await, [row]);
    }
}

#[tokio::test]
async fn of_several_rows_with_one_key_the_newest_then_the_last_wins() {
    let mut table = people_table().await;
    let rows = [
        Person::new(1, "older", 1),
        Person::new(1, "newest", 3),
        Person::new(1, "middle", 2),
        Person::new(2, "first", 1),
        Person::new(2, "last", 1),
    ];
    let changes = Changes { deletes: Some(ids(&[2])), ..changed(&rows) };
    let counts = table.upsert(changes, &[]).await.expect("merged");
    assert_eq!(counts.inserted, 2);
    let names: Vec<_> = stored_people(&table).await.into_iter().filter_map(|p| p.name).collect();
    assert_eq!(names, ["newest", "last"]);
}

#[tokio::test]
async fn a_null_key_is_refused_by_name() {
    let mut table = people_table().await;
    let id: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let rows = RecordBatch::try_from_iter([("id", id)]).expect("a batch");
    let changes = Changes { rows: vec![rows], ..Changes::default() };
    let error = table.upsert(changes, &[]).await.expect_err("a null key");
    assert!(matches!(&error, LakeError::NullKey { column, rows: 1, .. } if column == "id"));
    let changes =
        Changes { deletes: Some(people(&[]).project(&[1]).expect("names")), ..Changes::default() };
    table.upsert(changes, &[]).await.expect("no rows, so none without a key");
}

#[tokio::test]
async fn a_file_whose_rows_all_go_is_just_removed() {
    let mut table = people_table().await;
    table.upsert(changed(&[Person::new(1, "Ada", 1)]), &[]).await.expect("inserted");
    let deletes = Changes { deletes: Some(ids(&[1])), ..Changes::default() };
    let counts = table.upsert(deletes, &[]).await.expect("deleted");
    assert_eq!((counts.deleted, table.data_files(), table.row_count()), (1, 0, 0));
}

#[tokio::test]
async fn a_key_stored_twice_becomes_one_row() {
    let mut table = people_table().await;
    let twice = people(&[Person::new(1, "a", 1), Person::new(1, "b", 1)]);
    table.append(&[twice], &[]).await.expect("appended");
    table.upsert(changed(&[Person::new(1, "c", 2)]), &[]).await.expect("merged");
    assert_eq!(stored_people(&table).await, [Person::new(1, "c", 2)]);
}

#[tokio::test]
async fn keys_of_several_columns_and_partitions() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("kind", DataType::Utf8, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("amount", DataType::Float64, true),
    ]));
    let spec = TableSpec {
        name: TableName::model("totals"),
        schema,
        key: vec!["kind".into(), "name".into()],
        partition_by: vec!["kind".into()],
    };
    let mut table = memory_lake().open_or_create(&spec).await.expect("a table");
    let rows = |rows: &[(&str, &str, f64)]| {
        let text = |get: fn(&(&str, &str, f64)) -> String| -> ArrayRef {
            Arc::new(rows.iter().map(|row| Some(get(row))).collect::<StringArray>())
        };
        let amounts: ArrayRef =
            Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Float64Array>());
        let columns = [
            ("kind", text(|row| row.0.to_owned())),
            ("name", text(|row| row.1.to_owned())),
            ("amount", amounts),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        Changes { rows: vec![batch], ..Changes::default() }
    };
    let first = rows(&[("a/b", "x", 1.0), ("a/b", "y", 2.0), ("c", "x", f64::NAN)]);
    table.upsert(first, &[]).await.expect("inserted");
    assert_eq!(table.data_files(), 2);
    let next = rows(&[("a/b", "y", 3.0), ("c", "x", f64::NAN), ("c", "y", 4.0)]);
    let counts = table.upsert(next, &[]).await.expect("merged");
    assert_eq!(counts, UpsertCounts { inserted: 1, updated: 1, unchanged: 1, deleted: 0 });
    assert_eq!(contents(&table).await.num_rows(), 4);

    let keys = contents(&table).await.project(&[0, 1]).expect("keys").slice(0, 2);
    let found = table.lookup(&keys).await.expect("looked up");
    assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
}

#[tokio::test]
async fn a_merge_in_parts_is_one_commit_and_refuses_a_key_twice() {
    let mut table = people_table().await;
    table
        .upsert(changed(&[Person::new(1, "Ada", 1), Person::new(2, "Bob", 1)]), &[])
        .await
        .expect("rows");
    let version = table.version();
    let mut merge = table.merge().expect("a keyed table");
    merge.push(changed(&[Person::new(1, "Ada", 2)])).await.expect("a part");
    merge
        .push(changed(&[Person::new(2, "Bob", 2), Person::new(3, "Cy", 1)]))
        .await
        .expect("a part");
    let counts = merge.commit(&[cursor(1)]).await.expect("merged");
    assert_eq!(counts, UpsertCounts { inserted: 1, updated: 2, ..UpsertCounts::default() });
    assert_eq!((table.version(), table.row_count()), (version + 1, 3));

    let mut merge = table.merge().expect("a keyed table");
    merge.push(changed(&[Person::new(7, "x", 1)])).await.expect("a part");
    let error = merge.push(changed(&[Person::new(7, "y", 1)])).await.expect_err("a repeated key");
    assert!(matches!(error, LakeError::RepeatedKey { .. }));
}

#[tokio::test]
async fn two_writers_of_one_table_both_get_through() {
    let mut table = people_table().await;
    let mut other = table.clone();
    other.upsert(changed(&[Person::new(1, "theirs", 2)]), &[]).await.expect("first");
    let counts = table.upsert(changed(&[Person::new(1, "ours", 1)]), &[]).await.expect("second");
    assert_eq!(counts.unchanged, 1, "decided anew against what the other wrote");
    other.append(&[people(&[Person::new(5, "e", 1)])], &[]).await.expect("appended");
    table.append(&[people(&[Person::new(6, "f", 1)])], &[]).await.expect("appended");
    assert_eq!(stored_people(&table).await.len(), 3);
}

/// Every put may fail, or land without an answer, and the next try reaches the
/// same rows; before it, readers see the old version or the new, whole.
#[tokio::test]
async fn a_merge_cut_off_at_any_put_leaves_old_or_new_and_can_be_repeated() {
    for fault in [Fault::Refuse, Fault::DoThenFail] {
        let before = [Person::new(1, "Ada", 1), Person::new(2, "Bob", 1)];
        let changes = Changes {
            deletes: Some(ids(&[2])),
            ..changed(&[Person::new(1, "Ada L", 2), Person::new(3, "Cy", 1)])
        };
        let after = [Person::new(1, "Ada L", 2), Person::new(3, "Cy", 1)];
        let mut cut = 0;
        loop {
            let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), fault, true));
            let lake = lake_over(store.clone());
            let mut table = lake.open_or_create(&person_spec()).await.expect("a table");
            table.upsert(changed(&before), &[cursor(1)]).await.expect("the first rows");
            store.fail_put(cut);
            let failed = table.upsert(changes.clone(), &[cursor(2)]).await.is_err();
            let puts = store.puts();
            store.fail_put(usize::MAX);

            let mut seen = lake.table(&person_spec().name).await.expect("readable").expect("there");
            let landed = seen.cursor("people") == Some(2);
            let expected: &[Person] = if landed { &after } else { &before };
            assert_eq!(stored_people(&seen).await, expected);
            seen.upsert(changes.clone(), &[cursor(2)]).await.expect("repeated");
            assert_eq!(stored_people(&seen).await, after);
            assert_eq!(seen.cursor("people"), Some(2));
            if !failed && puts <= cut {
                break;
            }
            cut += 1;
        }
        assert!(cut >= 2, "a merge makes at least a data file and a commit");
    }
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_not_repeated() {
    let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), Fault::DoThenFail, false));
    let lake = lake_over(store.clone());
    let mut table = lake.open_or_create(&person_spec()).await.expect("a table");
    store.fail_put(1);
    table.append(&[people(&[Person::new(1, "Ada", 1)])], &[]).await.expect("it landed");
    assert_eq!(stored_people(&table).await.len(), 1);
}

fn person() -> impl Strategy<Value = Person> {
    (0..40i64, proptest::option::of("[ab]{0,2}"), 0..3u8, proptest::option::of(0..4i64)).prop_map(
        |(id, name, score, updated_at)| Person {
            id,
            name,
            score: [None, Some(f64::NAN), Some(1.0)][usize::from(score)],
            updated_at,
            synced_at: updated_at,
        },
    )
}

#[derive(Debug, Clone)]
struct Step {
    rows: Vec<Person>,
    deletes: Vec<i64>,
    appended: Vec<Person>,
    dated: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let rows = proptest::collection::vec(person(), 0..12);
    let deletes = proptest::collection::vec(0..40i64, 0..4);
    (rows, deletes, proptest::collection::vec(person(), 0..6), any::<bool>())
        .prop_map(|(rows, deletes, appended, dated)| Step { rows, deletes, appended, dated })
}

/// What the upsert promises, said with a map.
fn apply(model: &mut BTreeMap<i64, Person>, step: &Step) -> UpsertCounts {
    let mut newest: BTreeMap<i64, Option<Person>> = BTreeMap::new();
    for id in &step.deletes {
        newest.insert(*id, None);
    }
    for row in &step.rows {
        let slot = newest.entry(row.id).or_default();
        let older =
            step.dated && slot.as_ref().is_some_and(|known| row.updated_at < known.updated_at);
        if !older {
            *slot = Some(row.clone());
        }
    }
    let mut counts = UpsertCounts::default();
    for (id, change) in newest {
        match (model.get(&id), change) {
            (None, None) => {}
            (Some(_), None) => {
                model.remove(&id);
                counts.deleted += 1;
            }
            (None, Some(row)) => {
                model.insert(id, row);
                counts.inserted += 1;
            }
            (Some(stored), Some(row)) => {
                let dates = stored.updated_at.zip(row.updated_at);
                let stale = step.dated && dates.is_some_and(|(stored, new)| stored > new);
                if stale || same(stored, &row) {
                    counts.unchanged += 1;
                } else {
                    model.insert(id, row);
                    counts.updated += 1;
                }
            }
        }
    }
    counts
}

fn same(left: &Person, right: &Person) -> bool {
    let bits = |person: &Person| person.score.map(f64::to_bits);
    left.name == right.name && bits(left) == bits(right) && left.updated_at == right.updated_at
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn an_upsert_does_what_a_map_would(steps in proptest::collection::vec(step(), 1..5)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut table = people_table().await;
            let mut model = BTreeMap::new();
            for step in &steps {
                // Files of their own, so that the next merge has several to look into.
                let mut fresh: BTreeMap<_, _> =
                    step.appended.iter().map(|row| (row.id, row.clone())).collect();
                fresh.retain(|id, _| !model.contains_key(id));
                let rows: Vec<_> = fresh.values().cloned().collect();
                table.append(&[people(&rows)], &[]).await.expect("appended");
                model.extend(fresh);

                let changes = Changes {
                    deletes: Some(ids(&step.deletes)),
                    newer_by: step.dated.then(|| "updated_at".into()),
                    ..changed(&step.rows)
                };
                let counts = table.upsert(changes, &[]).await.expect("merged");
                assert_eq!(counts, apply(&mut model, step));
                let (stored, expected) = (stored_people(&table).await, model.values());
                assert_eq!(stored.len(), model.len());
                assert!(stored.iter().zip(expected).all(|(stored, row)| stored.id == row.id && same(stored, row)));
            }
        });
    }
}

#[tokio::test]
async fn what_came_in_no_part_is_taken_out_when_the_parts_were_all() {
    let mut table = people_table().await;
    let rows: Vec<Person> = (1..=6).map(|id| Person::new(id, "Ada", 10)).collect();
    table.upsert(changed(&rows[..3]), &[]).await.expect("inserted");
    table.upsert(changed(&rows[3..]), &[]).await.expect("inserted, in another file");
    let mut merge = table.merge().expect("a key");
    merge.push(changed(&[rows[0].clone(), Person::new(2, "Bea", 11)])).await.expect("a part");
    merge.push(changed(&[Person::new(7, "Gus", 1)])).await.expect("another part");
    merge.delete_others().await.expect("the others go");
    let counts = merge.commit(&[]).await.expect("committed");
    assert_eq!(counts, UpsertCounts { inserted: 1, updated: 1, unchanged: 1, deleted: 4 });
    let expected = [rows[0].clone(), Person::new(2, "Bea", 11), Person::new(7, "Gus", 1)];
    assert_eq!(stored_people(&table).await, expected);
}
