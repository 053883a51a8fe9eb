//! Whether the sections of a project hold together.

use std::collections::{BTreeMap, BTreeSet};

use super::config::PipelineConfig;
use super::error::Problem;
use super::file::{SettingsFile, whole};
use super::project::Sections;
use super::yaml::KeyPath;
use crate::objects::ObjectType;
use crate::transform::{Models, Rule, is_identifier, nearest, validate_vars};

/// Tables that every extract fills, or that are filled where a model reads
/// them, besides the mirrors of the objects extracted.
const REFERENCE_TABLES: [&str; 7] =
    ["associations", "owners", "teams", "pipelines", "pipeline_stages", "properties", "schemas"];

/// Everything that can be said without parsing SQL.
pub(super) fn check(sections: &Sections) -> Vec<Problem> {
    let mut problems = check_project(sections);
    for name in sections.models.keys().filter(|name| !is_identifier(name)) {
        let reason = format!(
            "`{name}` cannot be the name of a table: use lower case letters, digits and `_`"
        );
        problems.push(whole(&sections.models[name].0, reason));
    }
    for (pipeline, file) in &sections.pipelines {
        Check { sections, pipeline, file, problems: &mut problems }.run();
    }
    problems.extend(models_configured_twice(sections));
    problems.extend(properties_owned_twice(sections));
    problems.extend(links_owned_twice(sections));
    problems
}

fn check_project(sections: &Sections) -> Vec<Problem> {
    let (config, file) = (&sections.config, &sections.config_file);
    let mut problems = Vec::new();
    if let Err(error) = config.lake.validate() {
        problems.push(told(file, "lake", error.to_string()));
    }
    if let Err(error) = config.hubspot.validate() {
        problems.push(told(file, "hubspot", error.to_string()));
    }
    for invalid in config.engine.validate() {
        problems.push(below(file, &["engine"], &invalid.path, invalid.problem));
    }
    for invalid in validate_vars(&config.vars) {
        problems.push(below(file, &["vars"], &invalid.path, invalid.problem));
    }
    for (name, source) in &config.sources {
        if !is_identifier(name) {
            let reason = "Use lower case letters, digits and `_`: SQL reads it as `usage.<name>`";
            problems.push(below(file, &["sources", name], "", reason));
        }
        for invalid in source.validate() {
            problems.push(below(file, &["sources", name], &invalid.path, invalid.problem));
        }
    }
    problems
}

/// A problem with a setting below a section, given by its path there.
fn below(file: &SettingsFile, section: &[&str], path: &str, reason: impl Into<String>) -> Problem {
    file.problem(&KeyPath::keys(section.iter().copied()).join(path), reason)
}

/// A problem whose text names its setting in backticks, `hubspot.base_url`;
/// a setting that is not in the file stands where its section does.
fn told(file: &SettingsFile, section: &str, text: String) -> Problem {
    let named = text.split('`').nth(1).filter(|path| path.starts_with(section));
    let path = KeyPath::default().join(named.unwrap_or(section));
    Problem { key: String::new(), ..file.problem(&path, text) }
}

/// The check of one pipeline.
struct Check<'a> {
    sections: &'a Sections,
    pipeline: &'a PipelineConfig,
    file: &'a SettingsFile,
    problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    fn run(&mut self) {
        if let Some(schedule) = &self.pipeline.schedule {
            for (key, reason) in schedule.validate() {
                self.say(&["schedule"], key, reason);
            }
        }
        self.extract();
        self.models();
        self.write_backs();
        for table in self.pipeline.export.keys().filter(|table| !table.contains('.')) {
            let reason =
                "Only tables with a schema stand here: a model has `export` among its settings";
            self.say(&["export", table], "", reason);
        }
    }

    fn say(&mut self, section: &[&str], path: &str, reason: impl Into<String>) {
        self.problems.push(below(self.file, section, path, reason));
    }

    fn extract(&mut self) {
        let extract = &self.pipeline.extract;
        for (object, config) in &extract.objects {
            if let Err(error) = ObjectType::parse(object) {
                self.say(&["extract", object], "", error.to_string());
            }
            self.types(&["extract", object], "associations", config.associations.named());
        }
        let Some(all) = &extract.all else { return };
        let section = ["extract", "all"];
        self.types(&section, "except", &all.except);
        self.types(&section, "associations", all.associations.named());
        for (position, name) in all.except.iter().enumerate() {
            if ObjectType::parse(name).is_ok_and(|object| extract.names(&object)) {
                let reason = format!("`{name}` has a key of its own here: drop one of the two");
                self.say(&section, &format!("except[{position}]"), reason);
            }
        }
        for (position, name) in all.properties.plain_names() {
            let reason = format!(
                "Only `all`, globs and `-name` stand here: ask for `{name}` under the key of the \
                 object that has it"
            );
            self.say(&section, &format!("properties[{position}]"), reason);
        }
    }

    /// Names that must be object types.
    fn types(&mut self, section: &[&str], key: &str, names: &[String]) {
        for (position, name) in names.iter().enumerate() {
            if let Err(error) = ObjectType::parse(name) {
                self.say(section, &format!("{key}[{position}]"), error.to_string());
            }
        }
    }

    fn models(&mut self) {
        let pipeline = self.pipeline;
        for (name, model) in &pipeline.models {
            if !self.sections.models.contains_key(name) {
                let reason = format!("There is no `sql/{name}.sql`: {}", self.known_models(name));
                self.say(&["models", name], "", reason);
            }
            for invalid in model.validate() {
                self.say(&["models", name], &invalid.path, invalid.problem);
            }
        }
    }

    fn write_backs(&mut self) {
        let pipeline = self.pipeline;
        for (model, write_back) in &pipeline.write_back {
            if !self.sections.models.contains_key(model) {
                let reason = format!(
                    "The key of a write-back is a model, and there is no `sql/{model}.sql`: {}",
                    self.known_models(model)
                );
                self.say(&["write_back", model], "", reason);
            }
            for invalid in write_back.validate() {
                self.say(&["write_back", model], &invalid.path, invalid.problem);
            }
            if let Ok(object) = write_back.object_type()
                && !extracts(self.sections, &object)
            {
                let reason = format!(
                    "`{object}` is extracted by no pipeline: name it under `extract`, so that what \
                     HubSpot holds is known before it is written"
                );
                self.say(&["write_back", model], "object", reason);
            }
        }
    }

    fn known_models(&self, name: &str) -> String {
        let known = self.sections.models.keys().map(String::as_str);
        match nearest(name, known.clone()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if self.sections.models.is_empty() => "the folder `sql` holds no model".into(),
            None => format!("known: `{}`", known.collect::<Vec<_>>().join("`, `")),
        }
    }
}

fn extracts(sections: &Sections, object: &ObjectType) -> bool {
    sections.pipelines.iter().any(|(pipeline, _)| pipeline.extract.takes(object))
}

/// The tables under `hubspot` that extracts can fill, as far as they can be
/// named without the account.
fn mirror_tables(sections: &Sections) -> BTreeSet<String> {
    let mut tables: BTreeSet<String> = REFERENCE_TABLES.map(str::to_owned).into();
    for (pipeline, _) in &sections.pipelines {
        let extract = &pipeline.extract;
        let wanted = extract.wanted(&[]);
        tables.extend(wanted.iter().map(|wanted| wanted.object.table_name()));
        if extract.wants_history() {
            tables.insert("property_history".to_owned());
        }
        if let Some(lists) = extract.lists {
            tables.insert("lists".to_owned());
            tables.extend(lists.memberships.then(|| "list_memberships".to_owned()));
        }
    }
    tables
}

/// Whether a table may be the mirror of a custom object that `all` brings in.
fn may_be_custom(sections: &Sections, table: &str) -> bool {
    let object = ObjectType::parse(table);
    object.is_ok_and(|object| object.is_custom() && extracts(sections, &object))
}

fn models_configured_twice(sections: &Sections) -> Vec<Problem> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for (pipeline, file) in &sections.pipelines {
        for model in pipeline.models.keys() {
            if let Some(owner) = owners.insert(model, &pipeline.name) {
                let reason = format!("The pipeline `{owner}` configures this model already");
                problems.push(below(file, &["models", model], "", reason));
            }
        }
    }
    problems
}

/// One property of one object belongs to one write-back, in whatever pipeline.
fn properties_owned_twice(sections: &Sections) -> Vec<Problem> {
    let mut owners: BTreeMap<(ObjectType, &str), String> = BTreeMap::new();
    let mut problems = Vec::new();
    for (pipeline, file) in &sections.pipelines {
        for (model, write_back) in &pipeline.write_back {
            let Ok(object) = write_back.object_type() else { continue };
            let own = write_back.properties.keys().map(|name| ("", name.as_str()));
            for (path, property) in own.chain(write_back.status_properties()) {
                let this = format!("`{model}` of pipeline `{}`", pipeline.name);
                if let Some(owner) = owners.insert((object.clone(), property), this) {
                    let reason = format!(
                        "The write-back {owner} writes this property of {object} already, and one \
                         property has one owner"
                    );
                    problems.push(match path {
                        "" => {
                            let section = ["write_back", model, "properties", property];
                            below(file, &section, "", reason)
                        }
                        path => below(file, &["write_back", model], path, reason),
                    });
                }
            }
        }
    }
    problems
}

/// One label between two types and one list belong to one write-back,
/// in whatever pipeline: two would take each other's work for a person's.
fn links_owned_twice(sections: &Sections) -> Vec<Problem> {
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    let mut problems = Vec::new();
    for (pipeline, file) in &sections.pipelines {
        for (model, write_back) in &pipeline.write_back {
            for (path, thing) in write_back.links() {
                let this = format!("`{model}` of pipeline `{}`", pipeline.name);
                if let Some(owner) = owners.insert(thing, this) {
                    let reason =
                        format!("The write-back {owner} does this already, and it has one owner");
                    problems.push(below(file, &["write_back", model], &path, reason));
                }
            }
        }
    }
    problems
}

/// Whether the tables that models name can exist at all.
pub(super) fn check_tables(sections: &Sections, models: &Models) -> Vec<Problem> {
    let tables = Tables {
        sections,
        models,
        sources: sections.config.sources.keys().cloned().collect(),
        mirror: mirror_tables(sections),
    };
    let mut problems = Vec::new();
    for model in models.in_order() {
        for schema in ["usage", "hubspot"] {
            for (table, place) in model.tables_of(schema) {
                if let Some(reason) = tables.unknown(Some(schema), table) {
                    let place = place.and_then(super::project::place_in);
                    problems.push(Problem { place, ..whole(model.file(), reason) });
                }
            }
        }
    }
    for (pipeline, file) in &sections.pipelines {
        for (name, model) in &pipeline.models {
            for (position, test) in model.tests.iter().enumerate() {
                let Rule::Relationships(rule) = &test.rule else { continue };
                let (schema, table) = match rule.to.split_once('.') {
                    Some((schema, table)) => (Some(schema), table),
                    None => (None, rule.to.as_str()),
                };
                if let Some(reason) = tables.unknown(schema, table) {
                    let path = format!("tests[{position}].relationships.to");
                    problems.push(below(file, &["models", name], &path, reason));
                }
            }
        }
    }
    problems
}

/// The tables there can be.
struct Tables<'a> {
    sections: &'a Sections,
    models: &'a Models,
    sources: BTreeSet<String>,
    mirror: BTreeSet<String>,
}

impl Tables<'_> {
    /// Why a table cannot exist; none where it can.
    fn unknown(&self, schema: Option<&str>, table: &str) -> Option<String> {
        let (known, advice): (BTreeSet<&str>, _) = match schema {
            Some("usage") => (names(&self.sources), "define it under `sources` in `hublake.yml`"),
            Some("hubspot") if may_be_custom(self.sections, table) => return None,
            Some("hubspot") => (names(&self.mirror), "ask for it under `extract` in a pipeline"),
            Some(_) => return None,
            None => (self.models.names().collect(), "add a file of that name to `sql`"),
        };
        if known.contains(table) {
            return None;
        }
        let full = |table: &str| match schema {
            Some(schema) => format!("{schema}.{table}"),
            None => table.to_owned(),
        };
        let hint = nearest(table, known.iter().copied())
            .map_or(String::new(), |meant| format!("did you mean `{}`? Else ", full(meant)));
        Some(format!("Unknown table `{}`: {hint}{advice}", full(table)))
    }
}

fn names(set: &BTreeSet<String>) -> BTreeSet<&str> {
    set.iter().map(String::as_str).collect()
}
