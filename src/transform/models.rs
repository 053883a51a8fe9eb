//! The models of a project: parsed, checked against each other, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;

use super::error::RingStep;
use super::query::{Query, SqlPlace, TableRef};
use super::{Materialization, ModelConfig, TransformError};
use super::{changes, identity};
use crate::lake::TableName;

/// A model as a project holds it.
#[derive(Clone, Debug)]
pub struct ModelDefinition {
    /// The file's stem, the SQL name of the table it makes.
    pub name: String,
    /// The file, relative to the project, for errors.
    pub file: PathBuf,
    /// Its text.
    pub sql: String,
    /// Its settings; a file without any is a view.
    pub config: ModelConfig,
}

/// One parsed model.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) name: String,
    pub(super) query: Query,
    pub(super) config: ModelConfig,
}

impl Model {
    /// Its SQL name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its settings.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The file it came from, relative to the project.
    pub fn file(&self) -> &Path {
        self.query.origin()
    }

    /// The SQL names of the tables that it names itself.
    pub fn tables_named(&self) -> impl Iterator<Item = String> {
        self.query.tables.keys().map(ToString::to_string)
    }

    /// The tables of a schema that it names itself, and the place of each.
    pub(crate) fn tables_of<'a>(
        &'a self,
        schema: &'a str,
    ) -> impl Iterator<Item = (&'a str, Option<SqlPlace>)> {
        let tables = self.query.tables.iter();
        let tables = tables.filter(move |(table, _)| table.schema.as_deref() == Some(schema));
        tables.map(|(table, place)| (table.name.as_str(), *place))
    }

    /// Where it names another model, or that model's changes.
    fn place_of(&self, models: &Models, other: &Self) -> Option<SqlPlace> {
        let mut tables = self.query.tables.iter();
        let names = |table: &TableRef| models.owner(table).is_some_and(|m| m.name == other.name);
        tables.find(|(table, _)| names(table)).and_then(|(_, place)| *place)
    }

    /// The tables that building it makes, with their columns, given its own.
    pub(super) fn tables_made(&self, rows: &SchemaRef) -> Vec<(String, SchemaRef)> {
        let mut tables = vec![(self.name.clone(), rows.clone())];
        if self.has_changes()
            && let Ok(spec) = changes::spec(&self.name, rows, &self.config.key)
        {
            tables.push((changes_name(&self.name), spec.schema));
        }
        if self.is_identity() {
            tables.extend(identity::side_tables(&self.name));
        }
        tables
    }

    /// The tables that its build stores beside its own and writes whole each time.
    pub fn side_tables(&self) -> Vec<TableName> {
        let tables = self.is_identity().then(|| identity::rewritten_tables(&self.name));
        tables.into_iter().flatten().map(TableName::model).collect()
    }

    /// Whether its rows are stored in the lake; else they are computed when read.
    pub fn is_stored(&self) -> bool {
        self.config.materialize != Materialization::View
    }

    pub(super) fn is_incremental(&self) -> bool {
        self.config.materialize == Materialization::Incremental
    }

    /// Whether its `select` gives edges, and the table the clusters they join.
    pub fn is_identity(&self) -> bool {
        self.config.materialize == Materialization::Identity
    }

    /// Whether a table is stored beside its own, such as `<model>_changes`.
    fn makes(&self, table: &str) -> bool {
        let is_changes = self.has_changes() && table.strip_suffix(CHANGES) == Some(&self.name);
        is_changes
            || (self.is_identity()
                && identity::side_tables(&self.name).iter().any(|(name, _)| name == table))
    }

    /// Whether its changes are recorded in `<model>_changes`.
    pub(super) fn has_changes(&self) -> bool {
        self.is_stored() && !self.config.key.is_empty()
    }
}

/// Suffix of the table of a model's changes.
const CHANGES: &str = "_changes";

/// The name of the table of a model's changes.
pub(super) fn changes_name(model: &str) -> String {
    format!("{model}{CHANGES}")
}

/// All models of a project, every one after those it reads.
#[derive(Clone, Debug, Default)]
pub struct Models {
    models: BTreeMap<String, Model>,
    order: Vec<String>,
}

impl Models {
    /// Parses every model and puts them in order.
    ///
    /// # Errors
    /// Every model whose text is no single `select`, and a ring of models with
    /// its path.
    pub fn parse(
        definitions: impl IntoIterator<Item = ModelDefinition>,
    ) -> Result<Self, Vec<TransformError>> {
        let mut models = BTreeMap::new();
        let mut errors = Vec::new();
        for definition in definitions {
            match Query::parse(&definition.file, &definition.sql) {
                Ok(query) => {
                    let ModelDefinition { name, mut config, .. } = definition;
                    if config.materialize == Materialization::Identity {
                        config.key = identity::key();
                    }
                    models.insert(name.clone(), Model { name, query, config });
                }
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut parsed = Self { models, order: Vec::new() };
        parsed.order = parsed.sorted().map_err(|error| vec![error])?;
        Ok(parsed)
    }

    /// The model of this name.
    pub fn get(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }

    /// Every model, each after the models it reads.
    pub fn in_order(&self) -> impl Iterator<Item = &Model> {
        self.order.iter().map(|name| &self.models[name])
    }

    /// The names of all models.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// The model that a table without schema belongs to: the model of that
    /// name, or the one that stores it beside its own.
    pub(super) fn owner(&self, table: &TableRef) -> Option<&Model> {
        if table.schema.is_some() {
            return None;
        }
        let own = self.get(&table.name);
        own.or_else(|| self.models.values().find(|model| model.makes(&table.name)))
    }

    /// The models that a model reads directly.
    pub(super) fn parents<'a>(&'a self, model: &'a Model) -> impl Iterator<Item = &'a Model> {
        model.query.tables.keys().filter_map(|table| self.owner(table))
    }

    /// A model and every model it reads, directly or through others.
    pub fn ancestry(&self, name: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&Model> = self.get(name).into_iter().collect();
        while let Some(model) = open.pop() {
            if found.insert(model.name()) {
                open.extend(self.parents(model));
            }
        }
        found
    }

    /// The models that read a model directly.
    fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Model> {
        let reads = move |model: &&Model| self.parents(model).any(|parent| parent.name == name);
        self.models.values().filter(reads)
    }

    /// A model and every model that reads it, directly or through others.
    pub fn descendants(&self, name: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&Model> = self.get(name).into_iter().collect();
        while let Some(model) = open.pop() {
            if found.insert(model.name()) {
                open.extend(self.children(model.name()));
            }
        }
        found
    }

    /// The models that selections as typed by hand mean: `name` alone, `+name`
    /// with all it reads, `name+` with all that reads it, `+name+` with both.
    ///
    /// # Errors
    /// The first selection that names no model.
    pub fn select(&self, selections: &[String]) -> Result<BTreeSet<String>, UnknownModel> {
        let mut selected: BTreeSet<&str> = BTreeSet::new();
        for selection in selections {
            let name = selection.strip_prefix('+').unwrap_or(selection);
            let name = name.strip_suffix('+').unwrap_or(name);
            let model = self.get(name).ok_or_else(|| self.unknown(name))?;
            selected.insert(model.name());
            if selection.starts_with('+') {
                selected.extend(self.ancestry(name));
            }
            if selection.ends_with('+') {
                selected.extend(self.descendants(name));
            }
        }
        Ok(selected.into_iter().map(str::to_owned).collect())
    }

    fn unknown(&self, name: &str) -> UnknownModel {
        UnknownModel { name: name.to_owned(), known: self.names().map(str::to_owned).collect() }
    }

    /// The tables outside the models that a model reads, directly or through
    /// other models: mirror tables, usage sources, system tables.
    pub fn tables_read(&self, name: &str) -> BTreeSet<TableName> {
        let models = self.ancestry(name).into_iter().filter_map(|model| self.get(model));
        models.flat_map(|model| model.query.tables.keys()).filter_map(base_table).collect()
    }

    fn sorted(&self) -> Result<Vec<String>, TransformError> {
        let mut walk = Walk { models: self, done: Vec::new(), path: Vec::new() };
        for model in self.models.values() {
            walk.visit(model)?;
        }
        Ok(walk.done)
    }
}

/// A name that no model has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownModel {
    /// The name.
    pub name: String,
    /// The models there are.
    pub known: Vec<String>,
}

/// The lake's name of a table with a schema.
pub(super) fn base_table(table: &TableRef) -> Option<TableName> {
    match table.schema.as_deref()? {
        "hubspot" => Some(TableName::hubspot(&table.name)),
        "system" => Some(TableName::system(&table.name)),
        "usage" => Some(TableName::usage(&table.name)),
        _ => None,
    }
}

/// A depth-first walk: a model is done when everything it reads is.
struct Walk<'a> {
    models: &'a Models,
    done: Vec<String>,
    path: Vec<&'a Model>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, model: &'a Model) -> Result<(), TransformError> {
        if self.done.contains(&model.name) {
            return Ok(());
        }
        if let Some(start) = self.path.iter().position(|open| open.name == model.name) {
            return Err(TransformError::Cycle { ring: self.ring(start) });
        }
        self.path.push(model);
        let models = self.models;
        for parent in models.parents(model) {
            self.visit(parent)?;
        }
        self.path.pop();
        self.done.push(model.name.clone());
        Ok(())
    }

    /// The ring that the models from a place on the path make.
    fn ring(&self, start: usize) -> Vec<RingStep> {
        let ring = &self.path[start..];
        let next = ring.iter().cycle().skip(1);
        let step = |(model, next): (&&Model, &&Model)| RingStep {
            model: model.name.clone(),
            file: model.file().to_owned(),
            place: model.place_of(self.models, next),
        };
        ring.iter().zip(next).map(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(sources: &[(&str, &str)]) -> Result<Models, Vec<TransformError>> {
        Models::parse(sources.iter().map(|(name, sql)| ModelDefinition {
            name: (*name).into(),
            file: format!("sql/{name}.sql").into(),
            sql: (*sql).into(),
            config: ModelConfig::default(),
        }))
    }

    fn order(models: &Models) -> Vec<&str> {
        models.in_order().map(Model::name).collect()
    }

    #[test]
    fn models_come_after_what_they_read() {
        let models = models(&[
            ("a", "select * from c join models.b on true"),
            ("b", "select * from hubspot.contacts"),
            ("c", "with b as (select 1 as x) select * from b, usage.events"),
        ])
        .expect("no ring");
        assert_eq!(order(&models), ["b", "c", "a"]);
        let read: Vec<_> = models.tables_read("a").into_iter().collect();
        assert_eq!(read, [TableName::hubspot("contacts"), TableName::usage("events")]);
        assert_eq!(models.ancestry("c").into_iter().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn a_ring_is_shown_with_its_path() {
        let errors = models(&[
            ("a", "select * from b"),
            ("b", "select * from (select * from c) as x"),
            ("c", "select 1 where 1 in (select id from b)"),
        ])
        .expect_err("b and c read each other");
        assert_eq!(
            errors[0].to_string(),
            "Models read each other in a ring: `b` -> `c` -> `b` (sql/b.sql:1:30, sql/c.sql:1:37)"
        );
    }

    #[test]
    fn plus_signs_bring_in_what_is_read_and_what_reads() {
        let models = models(&[
            ("a", "select 1 as x"),
            ("b", "select * from a"),
            ("c", "select * from b"),
            ("d", "select * from a"),
        ])
        .expect("no ring");
        for (selection, expected) in [
            ("b", vec!["b"]),
            ("+b", vec!["a", "b"]),
            ("b+", vec!["b", "c"]),
            ("+b+", vec!["a", "b", "c"]),
            ("a+", vec!["a", "b", "c", "d"]),
        ] {
            let selected = models.select(&[selection.to_owned()]).expect(selection);
            assert_eq!(selected.into_iter().collect::<Vec<_>>(), expected, "{selection}");
        }
        let unknown = models.select(&["+e".to_owned()]).expect_err("no such model");
        assert_eq!(unknown.name, "e");
    }

    #[test]
    fn names_bound_by_with_are_no_tables() {
        let models = models(&[
            ("a", "with a as (select * from hubspot.deals) select * from a"),
            ("n", "with recursive n as (select 1 as i union all select i + 1 from n where i < 3) select * from n"),
            ("f", "select * from generate_series(1, 3)"),
        ])
        .expect("no model reads another");
        assert_eq!(models.tables_read("a").len(), 1);
        assert!(models.tables_read("n").is_empty());
        assert!(models.tables_read("f").is_empty());
    }

    #[test]
    fn only_one_select_is_a_model() {
        for (sql, line, part) in [
            ("-- nothing\n", None, "no `select`"),
            ("select 1 as a;\n\nselect 2 as b", Some(3), "second statement"),
            ("\ninsert into t select 1", Some(2), "Only a `select`"),
            ("drop table x", Some(1), "Only a `select`"),
            ("select 1 as x into y", None, "Only `select`"),
            ("select *\nfrom a.b.c.d", Some(2), "no table"),
            ("select\n  1 as a\nfrm x", Some(3), "not valid"),
        ] {
            let errors = models(&[("m", sql)]).expect_err(sql);
            let TransformError::Sql { origin, place, problem, .. } = &errors[0] else {
                panic!("{sql:?} gave {:?}", errors[0]);
            };
            assert_eq!(origin.to_str(), Some("sql/m.sql"));
            let found = place.map(|place| place.line);
            assert_eq!(found, line, "{sql:?} gave {problem}");
            assert!(problem.contains(part), "{sql:?} gave {problem}");
        }
    }
}
