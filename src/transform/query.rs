//! One `select` as text, taken apart: the tables it reads, its parameters,
//! the line of each.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    self, Expr, ObjectName, ObjectNamePart, SelectItem, SetExpr, Spanned, TableFactor, Value,
    ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};

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

/// A place in a text of SQL, both counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SqlPlace {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl SqlPlace {
    /// Where a span starts; none for a span of nothing.
    pub(super) fn of(start: Location) -> Option<Self> {
        (start.line > 0).then_some(Self { line: start.line, column: start.column })
    }
}

impl std::fmt::Display for SqlPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The SQL schema that models live in; writing it out is allowed.
pub(super) const MODELS: &str = "models";

/// A parsed `select`.
#[derive(Clone, Debug)]
pub(super) struct Query {
    origin: PathBuf,
    statement: Box<ast::Statement>,
    /// Each table read and the first place that names it.
    pub(super) tables: BTreeMap<TableRef, Option<SqlPlace>>,
    /// Each parameter and the first place that names it.
    parameters: BTreeMap<String, Option<SqlPlace>>,
    /// Where the statement starts.
    start: Option<SqlPlace>,
}

impl Query {
    /// Parses one `select`.
    ///
    /// # Errors
    /// Text that is not SQL, anything but one query, and table names of more
    /// than two parts; all with file and place.
    pub(super) fn parse(origin: &Path, text: &str) -> Result<Self, TransformError> {
        let (statement, start) = single_statement(origin, text)?;
        let mut found = Found::default();
        if let ControlFlow::Break(refused) = statement.visit(&mut found) {
            return Err(sql_error(origin, refused.place, refused.problem));
        }
        let Found { tables, parameters, .. } = found;
        Ok(Self { origin: origin.to_owned(), statement, tables, parameters, start })
    }

    /// Where the statement starts: the place of a mistake that has no better.
    pub(super) fn start(&self) -> Option<SqlPlace> {
        self.start
    }

    /// Where a column of the result is selected: its place among the columns,
    /// and its name.
    pub(super) fn place_of_output(&self, index: usize, name: &str) -> Option<SqlPlace> {
        let mut search = OutputSearch { name, found: None };
        if let ast::Statement::Query(query) = self.statement.as_ref() {
            let top = first_select(&query.body).map_or(&[][..], |select| &select.projection);
            let stars = top.iter().any(|item| output_name(item).is_none());
            if !stars && let Some(item) = top.get(index) {
                return item_place(item).or(self.start);
            }
        }
        let _: ControlFlow<()> = self.statement.visit(&mut search);
        search.found.or(self.start)
    }

    /// Every expression, each before those inside it.
    pub(super) fn expressions(&self) -> Vec<WrittenExpr> {
        let mut walk = Outline::default();
        let _: ControlFlow<()> = self.statement.visit(&mut walk);
        walk.found
    }

    /// The query with null in the place of one of its [`Query::expressions`].
    pub(super) fn without(&self, expression: usize) -> Self {
        let mut blank = Blank { left: Some(expression) };
        let mut query = self.clone();
        let _: ControlFlow<()> = VisitMut::visit(&mut query.statement, &mut blank);
        query
    }

    /// Where a function is called first.
    pub(super) fn place_of_call(&self, function: &str) -> Option<SqlPlace> {
        let mut search = CallSearch { function };
        match self.statement.visit(&mut search) {
            ControlFlow::Break(place) => place,
            ControlFlow::Continue(()) => None,
        }
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
        for (name, place) in &self.parameters {
            let text =
                values.get(name).ok_or_else(|| self.unknown_parameter(name, *place, values))?;
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
        place: Option<SqlPlace>,
        values: &BTreeMap<String, String>,
    ) -> TransformError {
        let advice = match nearest(name, values.keys().map(String::as_str)) {
            Some(meant) => format!("did you mean `${meant}`?"),
            None => listed(&values.keys().map(|known| format!("${known}")).collect::<Vec<_>>()),
        };
        sql_error(&self.origin, place, format!("Unknown parameter `${name}`: {advice}"))
    }
}

fn single_statement(
    origin: &Path,
    text: &str,
) -> Result<(Box<ast::Statement>, Option<SqlPlace>), TransformError> {
    let mut statements = parse(text).map_err(|error| planning_error(origin, error))?;
    let starts = statement_starts(text);
    if let Some(place) = starts.get(1) {
        let problem = "A model is one `select`: a second statement starts here";
        return Err(sql_error(origin, *place, problem));
    }
    let start = starts.first().copied().flatten();
    match statements.pop_front() {
        Some(Statement::Statement(statement)) if matches!(*statement, ast::Statement::Query(_)) => {
            Ok((statement, start))
        }
        Some(_) => {
            let problem = "Only a `select` is allowed here: models read tables and change nothing";
            Err(sql_error(origin, start, problem))
        }
        None => Err(sql_error(origin, None, "There is no `select` in this file")),
    }
}

fn parse(text: &str) -> Result<VecDeque<Statement>, DataFusionError> {
    DFParserBuilder::new(text).build()?.parse_statements()
}

/// Where each statement of a text starts.
fn statement_starts(text: &str) -> Vec<Option<SqlPlace>> {
    let tokens =
        Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().unwrap_or_default();
    let mut starts = Vec::new();
    let mut between = true;
    for token in tokens {
        match token.token {
            Token::SemiColon => between = true,
            Token::Whitespace(_) | Token::EOF => {}
            _ if between => {
                starts.push(SqlPlace::of(token.span.start));
                between = false;
            }
            _ => {}
        }
    }
    starts
}

/// What a walk over the statement has found.
#[derive(Default)]
struct Found {
    tables: BTreeMap<TableRef, Option<SqlPlace>>,
    parameters: BTreeMap<String, Option<SqlPlace>>,
    /// Names bound by `with` around the place being visited.
    scope: Vec<String>,
}

struct Refused {
    place: Option<SqlPlace>,
    problem: String,
}

impl Found {
    fn table(&mut self, name: &ObjectName) -> ControlFlow<Refused> {
        let place = SqlPlace::of(name.span().start);
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
                return ControlFlow::Break(Refused { place, problem });
            }
        };
        self.tables.entry(table).or_insert(place);
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
            return ControlFlow::Break(Refused { place: None, problem });
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
            self.parameters.entry(name).or_insert(SqlPlace::of(value.span.start));
        }
        ControlFlow::Continue(())
    }
}

/// The `select` whose columns a query has the names of.
fn first_select(body: &SetExpr) -> Option<&ast::Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}

/// The name of a selected column, empty where it has none; none for a star.
fn output_name(item: &SelectItem) -> Option<&str> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(&alias.value),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(&ident.value),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            parts.last().map(|ident| ident.value.as_str())
        }
        SelectItem::UnnamedExpr(_) => Some(""),
        _ => None,
    }
}

/// Where a selected column stands; some expressions know no place of their own.
fn item_place(item: &SelectItem) -> Option<SqlPlace> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => SqlPlace::of(alias.span.start),
        item => SqlPlace::of(item.span().start),
    }
}

/// Looks for the last `select` that has a column of some name.
struct OutputSearch<'a> {
    name: &'a str,
    found: Option<SqlPlace>,
}

impl Visitor for OutputSearch<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        let items = first_select(&query.body).map_or(&[][..], |select| &select.projection);
        let named = |item: &&SelectItem| {
            output_name(item).is_some_and(|name| name.eq_ignore_ascii_case(self.name))
        };
        self.found = items.iter().find(named).and_then(item_place).or(self.found);
        ControlFlow::Continue(())
    }
}

/// Looks for the first call of a function.
struct CallSearch<'a> {
    function: &'a str,
}

impl Visitor for CallSearch<'_> {
    type Break = Option<SqlPlace>;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Option<SqlPlace>> {
        match expr {
            Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case(self.function) => {
                ControlFlow::Break(SqlPlace::of(call.name.span().start))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// An expression as it stands in a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct WrittenExpr {
    /// Which one it stands in; none for one that stands in no other.
    pub(super) within: Option<usize>,
    /// Where it starts, if that is known.
    pub(super) place: Option<SqlPlace>,
}

/// Lists the expressions of a statement.
#[derive(Default)]
struct Outline {
    found: Vec<WrittenExpr>,
    /// Those around the place being visited.
    open: Vec<usize>,
}

impl Visitor for Outline {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let within = self.open.last().copied();
        self.open.push(self.found.len());
        self.found.push(WrittenExpr { within, place: SqlPlace::of(expr.span().start) });
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.open.pop();
        ControlFlow::Continue(())
    }
}

/// Puts null in the place of one expression.
struct Blank {
    /// How many come before it; none once it is done.
    left: Option<usize>,
}

impl VisitorMut for Blank {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match self.left {
            Some(0) => {
                *expr = Expr::value(Value::Null);
                self.left = None;
            }
            Some(left) => self.left = Some(left - 1),
            None => {}
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
