//! Values that hang together with nothing else, and the dirt of real accounts
//! in them: what people type, what imports leave, what a property still holds
//! of the time when it was of another type. HubSpot has taken all of it; what
//! it refuses (a NUL, an exponent, an unknown option in a write) is not here,
//! but an option that has been removed since is.

use super::draw::{Draw, salt};
use super::plan::{Kind, Make};
use super::words;
use super::world::{EPOCH, Seeded};
use crate::emulator::moment;
use crate::emulator::schema::Property;

/// The longest text the service keeps; section 9 of the API reference.
const LONGEST: usize = 65_536;

/// Appends a value that depends on nothing but chance; none if the record has
/// none.
pub(super) fn push_chance(
    record: &Seeded,
    property: &Property,
    owners: &[String],
    out: &mut String,
) -> Option<()> {
    let draw = record.draw.of_property(property.salt);
    let percent = match property.make {
        Make::Always => 100,
        Make::Pick(_, percent)
        | Make::Option(percent)
        | Make::Options(percent)
        | Make::Whole(_, percent)
        | Make::Decimal(_, percent)
        | Make::FalseNumber(_, percent)
        | Make::Rough(percent)
        | Make::Flag(percent)
        | Make::Day(percent)
        | Make::Moment(percent)
        | Make::Owner(percent)
        | Make::LongId(percent)
        | Make::Phone(percent)
        | Make::Words(percent)
        | Make::Note(percent) => percent,
        _ => return None,
    };
    if !draw.chance(u64::from(percent)) {
        return None;
    }
    let value = draw.of_property(1);
    if property.kind == Kind::Text && !property.read_only && is_rare(value, "blank", 150) {
        // Cleared by somebody: `""` is what is left.
        return Some(());
    }
    match property.make {
        Make::Always => out.push_str("true"),
        Make::Pick(choices, _) => out.push_str(value.pick(choices)),
        Make::Option(_) => push_option(property, value, out)?,
        Make::Options(_) => push_options(property, value, out)?,
        Make::Whole(limit, _) => moment::push_number(out, value.below(limit)),
        Make::Decimal(limit, _) => push_decimal(value, limit, out),
        Make::FalseNumber(limit, _) => {
            moment::push_number(out, value.below(limit));
            if value.of_property(2).below(200) == 0 {
                out.push_str(";2");
            }
        }
        Make::Rough(_) => push_rough(value, property, out),
        Make::Flag(_) => out.push_str(if value.chance(50) { "true" } else { "false" }),
        Make::Day(_) => match edge(property, value) {
            Some(edge) => moment::push_day(out, edge),
            None => moment::push_day(out, between(record, value)),
        },
        Make::Moment(_) => match edge(property, value) {
            Some(edge) => moment::push_trimmed(out, edge),
            None => moment::push_trimmed(out, between(record, value)),
        },
        Make::Owner(_) => {
            let at = value.below(owners.len() as u64) as usize;
            out.push_str(owners.get(at)?);
        }
        Make::LongId(_) => moment::push_number(out, 100_000_000 + value.below(200_000_000_000)),
        Make::Phone(_) => push_phone(value, out),
        Make::Words(_) => push_words(value, out),
        Make::Note(_) => push_note(value, out),
        _ => return None,
    }
    Some(())
}

/// True for one draw in `often`.
pub(super) fn is_rare(draw: Draw, what: &'static str, often: u64) -> bool {
    draw.of_property(salt(what)).below(often) == 0
}

fn between(record: &Seeded, draw: Draw) -> i64 {
    record.created + draw.below((record.modified - record.created).max(1) as u64) as i64
}

/// Dates that people mistype: seconds taken for milliseconds, the year two
/// thousand and ninety-nine. Only where people write them.
fn edge(property: &Property, draw: Draw) -> Option<i64> {
    if property.read_only || !is_rare(draw, "edge", 250) {
        return None;
    }
    Some(edge_of(draw))
}

/// One of the edges, all at midnight.
pub(super) fn edge_of(draw: Draw) -> i64 {
    // 1970-01-01, 1970-01-19, 1900-01-01, 2099-12-31, 9999-12-31
    const EDGES: [i64; 5] = [0, 18, -25_567, 47_481, 2_932_896];
    draw.of_property(salt("which edge")).pick(&EDGES) * moment::DAY
}

fn push_option(property: &Property, draw: Draw, out: &mut String) -> Option<()> {
    let option = property.option_at(draw.number())?;
    if !property.read_only && is_rare(draw, "retired", 200) {
        push_retired(option, out);
    } else {
        out.push_str(option);
    }
    Some(())
}

/// An option that was removed after records had it.
fn push_retired(option: &str, out: &mut String) {
    out.push_str(option);
    out.push_str("_old");
}

/// Some of the options; the service keeps no order of them.
fn push_options(property: &Property, draw: Draw, out: &mut String) -> Option<()> {
    let options = property.options.len() as u64;
    if options == 0 {
        return None;
    }
    let many = (1 + draw.below(3)).min(options);
    let backward = draw.of_property(2).chance(50);
    let start = out.len();
    for turn in 0..many {
        let turn = if backward { many - 1 - turn } else { turn };
        if out.len() > start {
            out.push(';');
        }
        out.push_str(property.option_at(draw.number().wrapping_add(turn) % options)?);
    }
    if !property.read_only && is_rare(draw, "retired", 200) {
        out.push_str(";retired_choice");
    }
    Some(())
}

fn push_decimal(draw: Draw, limit: u64, out: &mut String) {
    let hundredths = draw.below(limit * 100);
    moment::push_number(out, hundredths / 100);
    out.push('.');
    moment::push_number(out, hundredths / 10 % 10);
    moment::push_number(out, hundredths % 10);
}

/// Numbers as the wire shows them (recorded: full binary expansions, zeros at
/// the end) and as imports leave them: more digits than a float holds, and in
/// properties that were texts once, no number at all.
fn push_rough(draw: Draw, property: &Property, out: &mut String) {
    const LONG: [&str; 8] = [
        "9007199254740993",
        "123456789012345678",
        "-9223372036854775808",
        "0.1000000000000000055511151231257827021181583404541015625",
        "0.90000000000000002220446049250313080847263336181640625",
        "12345678901234567890.123456789",
        "1000.0",
        "-0.50",
    ];
    const NONE: [&str; 5] = ["1;2", "n/a", "12,5", "1.000,00", "ca. 40"];
    match draw.below(200) {
        0 if property.custom => out.push_str(draw.of_property(1).pick(&NONE)),
        // The service's own arithmetic makes no such numbers.
        0..6 if !property.read_only => out.push_str(draw.of_property(1).pick(&LONG)),
        0..60 => {
            // A float of few digits, written out in full.
            let thousandths = draw.of_property(1).below(1_000) as f64 / 1_000.0;
            let _ = std::fmt::Write::write_fmt(out, format_args!("{thousandths:.55}"));
            out.truncate(out.trim_end_matches('0').trim_end_matches('.').len());
        }
        60..90 => {
            moment::push_number(out, draw.of_property(1).below(10_000));
            out.push_str(".00");
        }
        90..100 => {
            out.push('-');
            moment::push_number(out, 1 + draw.of_property(1).below(500));
        }
        _ => moment::push_number(out, draw.of_property(1).below(100_000)),
    }
}

/// Telephone numbers in the many forms people write them. All lie in ranges
/// set aside for fiction.
pub(super) fn push_phone(draw: Draw, out: &mut String) {
    let line = draw.of_property(1).below(100);
    // What comes before the last two digits and after them.
    const FORMS: [(&str, &str); 16] = [
        ("+1 (415) 555-01", ""),
        ("+1 415-555-01", ""),
        ("+141555501", ""),
        ("(415) 555-01", ""),
        ("41555501", ""),
        ("001 415 555 01", ""),
        ("+1 (415) 555-01", " ext. 12"),
        ("+49 30 23125 0", ""),
        ("+49 (0)30 / 23125-0", ""),
        ("+4930231250", ""),
        ("030 23125 0", " "),
        ("+44 20 7946 09", ""),
        ("020 7946 09", ""),
        ("+33 1 99 00 12 ", ""),
        ("0201 555 01", ""),
        (" +1 415 555 01", " (mobile)"),
    ];
    let (before, after) = draw.of_property(2).pick(&FORMS);
    out.push_str(before);
    out.push(char::from(b'0' + (line / 10) as u8));
    out.push(char::from(b'0' + (line % 10) as u8));
    out.push_str(after);
}

/// A short free text.
pub(super) fn push_words(draw: Draw, out: &mut String) {
    out.push_str(draw.of_property(2).pick(words::REMARK));
    if draw.chance(40) {
        out.push(' ');
        out.push_str(draw.of_property(3).pick(words::SENTENCE));
    }
}

/// A long free text: sentences, lines, markup, and one in a hundred tens of
/// kilobytes long.
pub(super) fn push_note(draw: Draw, out: &mut String) {
    let start = out.len();
    let html = draw.of_property(2).chance(30);
    let sentences = match draw.of_property(3).below(100) {
        0 => 300 + draw.of_property(4).below(600),
        1..10 => 10 + draw.of_property(4).below(40),
        _ => 1 + draw.of_property(4).below(5),
    };
    if html {
        out.push_str("<div dir=\"auto\" data-top-level=\"true\"><p style=\"margin:0;\">");
    }
    let mut each = draw;
    for turn in 0..sentences {
        each = each.of_property(5);
        if turn > 0 {
            out.push_str(match (html, each.below(8)) {
                (true, 0) => "</p><p style=\"margin:0;\">",
                (true, 1) => "<br/>&nbsp;",
                (false, 0) => "\n\n",
                (false, 1) => "\r\n",
                _ => " ",
            });
        }
        out.push_str(each.of_property(6).pick(words::SENTENCE));
    }
    if html {
        out.push_str("</p></div>");
    }
    if out.len() - start > LONGEST {
        let end = out.floor_char_boundary(start + LONGEST);
        out.truncate(end);
    }
}

/// A word as people write it: mostly as it should be, now and then in
/// capitals, without any, or with blanks around it.
pub(super) fn push_typed(word: &str, draw: Draw, out: &mut String) {
    match draw.of_property(salt("typed")).below(100) {
        0..2 => out.extend(word.chars().flat_map(char::to_uppercase)),
        2..5 => out.extend(word.chars().flat_map(char::to_lowercase)),
        5 => {
            out.push_str(word);
            out.push(' ');
        }
        6 if is_rare(draw, "leading", 4) => {
            out.push(' ');
            out.push_str(word);
        }
        _ => out.push_str(word),
    }
}

/// A close date: mostly some months after creation, now and then an edge.
pub(super) fn push_close_date(record: &Seeded, draw: Draw, out: &mut String) {
    let later = draw.of_property(salt("closedate")).below(120 * 86_400) as i64;
    let close = match is_rare(draw, "edge", 200) {
        true => edge_of(draw).min(EPOCH + 100 * 366 * moment::DAY),
        false => record.created + later * 1_000,
    };
    moment::push_trimmed(out, close);
}
