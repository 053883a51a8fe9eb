//! One `select` as text, taken apart: the tables it reads, its parameters,
//! the line of each.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    self, Expr, ObjectName, ObjectNamePart, SetExpr, Spanned, TableFactor, Value, ValueWithSpan,
    Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::TransformError;
use super::diagnosis::{planning_error, sql_error};
use super::error::listed;
use super::nearest::nearest;

/// A table as a query names it: `contacts` of schema `hubspot`, or a model
/// without schema.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TableRef {
    /// `hubspot`, `system`, `usage`, or none for a model.
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

impl std::fmt::Display for TableRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The SQL schema that models live in; writing it out is allowed.
pub(super) const MODELS: &str = "models";

/// A parsed `select`.
#[derive(Clone, Debug)]
pub(super) struct Query {
    origin: PathBuf,
    statement: Box<ast::Statement>,
    /// Each table read and the first line that names it.
    pub(super) tables: BTreeMap<TableRef, u64>,
    /// Each parameter and the first line that names it.
    parameters: BTreeMap<String, u64>,
}

impl Query {
    /// Parses one `select`.
    ///
    /// # Errors
    /// Text that is not SQL, anything but one query, and table names of more
    /// than two parts; all with file and line.
    pub(super) fn parse(origin: &Path, text: &str) -> Result<Self, TransformError> {
        let statement = single_statement(origin, text)?;
        let mut found = Found::default();
        if let ControlFlow::Break(refused) = statement.visit(&mut found) {
            return Err(sql_error(origin, refused.line, refused.problem));
        }
        let Found { tables, parameters, .. } = found;
        Ok(Self { origin: origin.to_owned(), statement, tables, parameters })
    }

    /// The file it came from.
    pub(super) fn origin(&self) -> &Path {
        &self.origin
    }

    /// The statement with every parameter replaced by its value, a typed
    /// literal, so that the planner sees the real types.
    ///
    /// # Errors
    /// A parameter without a value, naming those that have one.
    pub(super) fn with_values(
        &self,
        values: &BTreeMap<String, String>,
    ) -> Result<Statement, TransformError> {
        let mut literals = BTreeMap::new();
        for (name, line) in &self.parameters {
            let text =
                values.get(name).ok_or_else(|| self.unknown_parameter(name, *line, values))?;
            literals.insert(format!("${name}"), self.literal(text)?);
        }
        let mut statement = self.statement.clone();
        let _: ControlFlow<()> =
            VisitMut::visit(&mut statement, &mut Replacement { literals: &literals });
        Ok(Statement::Statement(statement))
    }

    fn literal(&self, text: &str) -> Result<Expr, TransformError> {
        DFParserBuilder::new(text)
            .build()
            .and_then(|mut parser| parser.parse_into_expr())
            .map(|parsed| parsed.expr)
            .map_err(|error| planning_error(&self.origin, error))
    }

    fn unknown_parameter(
        &self,
        name: &str,
        line: u64,
        values: &BTreeMap<String, String>,
    ) -> TransformError {
        let advice = match nearest(name, values.keys().map(String::as_str)) {
            Some(meant) => format!("did you mean `${meant}`?"),
            None => listed(&values.keys().map(|known| format!("${known}")).collect::<Vec<_>>()),
        };
        sql_error(&self.origin, Some(line), format!("Unknown parameter `${name}`: {advice}"))
    }
}

fn single_statement(origin: &Path, text: &str) -> Result<Box<ast::Statement>, TransformError> {
    let mut statements = parse(text).map_err(|error| planning_error(origin, error))?;
    let lines = statement_lines(text);
    if let Some(line) = lines.get(1) {
        let problem = "A model is one `select`: a second statement starts here";
        return Err(sql_error(origin, Some(*line), problem));
    }
    let line = lines.first().copied();
    match statements.pop_front() {
        Some(Statement::Statement(statement)) if matches!(*statement, ast::Statement::Query(_)) => {
            Ok(statement)
        }
        Some(_) => {
            let problem = "Only a `select` is allowed here: models read tables and change nothing";
            Err(sql_error(origin, line, problem))
        }
        None => Err(sql_error(origin, None, "There is no `select` in this file")),
    }
}

fn parse(text: &str) -> Result<VecDeque<Statement>, DataFusionError> {
    DFParserBuilder::new(text).build()?.parse_statements()
}

/// The line on which each statement of a text starts.
fn statement_lines(text: &str) -> Vec<u64> {
    let tokens =
        Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().unwrap_or_default();
    let mut lines = Vec::new();
    let mut between = true;
    for token in tokens {
        match token.token {
            Token::SemiColon => between = true,
            Token::Whitespace(_) | Token::EOF => {}
            _ if between => {
                lines.push(token.span.start.line);
                between = false;
            }
            _ => {}
        }
    }
    lines
}

/// What a walk over the statement has found.
#[derive(Default)]
struct Found {
    tables: BTreeMap<TableRef, u64>,
    parameters: BTreeMap<String, u64>,
    /// Names bound by `with` around the place being visited.
    scope: Vec<String>,
}

struct Refused {
    line: Option<u64>,
    problem: String,
}

impl Found {
    fn table(&mut self, name: &ObjectName) -> ControlFlow<Refused> {
        let line = name.span().start.line;
        let parts: Option<Vec<String>> = name.0.iter().map(identifier).collect();
        let table = match parts.as_deref() {
            Some([name]) if self.scope.contains(name) => return ControlFlow::Continue(()),
            Some([name]) => TableRef { schema: None, name: name.clone() },
            Some([schema, name]) if schema == MODELS => {
                TableRef { schema: None, name: name.clone() }
            }
            Some([schema, name]) => TableRef { schema: Some(schema.clone()), name: name.clone() },
            _ => {
                let problem =
                    format!("`{name}` is no table: write a model's name, or `schema.table`");
                return ControlFlow::Break(Refused { line: Some(line), problem });
            }
        };
        self.tables.entry(table).or_insert(line);
        ControlFlow::Continue(())
    }
}

/// An identifier as DataFusion reads it: lower case unless quoted.
fn identifier(part: &ObjectNamePart) -> Option<String> {
    match part {
        ObjectNamePart::Identifier(ident) if ident.quote_style.is_some() => {
            Some(ident.value.clone())
        }
        ObjectNamePart::Identifier(ident) => Some(ident.value.to_lowercase()),
        ObjectNamePart::Function(_) => None,
    }
}

impl Visitor for Found {
    type Break = Refused;

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Refused> {
        if !reads_only(&query.body) {
            let problem = "Only `select` is allowed inside a query".to_owned();
            return ControlFlow::Break(Refused { line: None, problem });
        }
        let Some(with) = &query.with else { return ControlFlow::Continue(()) };
        for table in &with.cte_tables {
            let name = identifier(&ObjectNamePart::Identifier(table.alias.name.clone()));
            // A table of the same name may be read inside the binding, unless it is recursive:
            // visit it before its name is bound. It is visited again later, which changes nothing.
            if !with.recursive {
                table.visit(self)?;
            }
            self.scope.extend(name);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Refused> {
        let bound = query.with.as_ref().map_or(0, |with| with.cte_tables.len());
        self.scope.truncate(self.scope.len() - bound);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Refused> {
        match factor {
            // With arguments it is a function, such as `generate_series(1, 3)`.
            TableFactor::Table { name, args: None, .. } => self.table(name),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<Refused> {
        if let Value::Placeholder(name) = &value.value {
            let name = name.trim_start_matches('$').to_owned();
            self.parameters.entry(name).or_insert(value.span.start.line);
        }
        ControlFlow::Continue(())
    }
}

fn reads_only(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::SetOperation { left, right, .. } => reads_only(left) && reads_only(right),
        SetExpr::Query(_) | SetExpr::Values(_) => true,
        SetExpr::Insert(_)
        | SetExpr::Update(_)
        | SetExpr::Delete(_)
        | SetExpr::Merge(_)
        | SetExpr::Table(_) => false,
    }
}

struct Replacement<'a> {
    /// By placeholder, with its `$`.
    literals: &'a BTreeMap<String, Expr>,
}

impl VisitorMut for Replacement<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) = expr
            && let Some(literal) = self.literals.get(name)
        {
            *expr = literal.clone();
        }
        ControlFlow::Continue(())
    }
}
