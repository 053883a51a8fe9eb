//! The parts of a seeded record that hang together: a person's address names
//! her and her employer, a deal is named for its company.

use super::dirt::{self, is_rare, push_typed};
use super::draw::{Draw, salt};
use super::realms::Realm;
use super::words;
use super::world::{Seeded, World};
use crate::emulator::moment;

/// Facts of a contact.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PersonFact {
    First,
    Last,
    Email,
    AdditionalEmails,
    EmailDomain,
    Phone,
    CompanyName,
    CompanyId,
    FullName,
    Website,
    Stage,
    UserId,
}

/// Facts of a company.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CompanyFact {
    Name,
    Domain,
    MoreDomains,
    Website,
    Stage,
    AccountKey,
}

/// Facts of a deal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DealFact {
    Name,
    Amount,
    Pipeline,
    Stage,
    CloseDate,
}

/// Facts of a ticket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TicketFact {
    Subject,
    Stage,
}

/// Lifecycle stages, earliest first; sections 9 and 16 of the API reference.
pub(crate) const STAGES: [&str; 8] = [
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
];

const DEAL_STAGES: [&str; 7] = [
    "appointmentscheduled",
    "qualifiedtobuy",
    "presentationscheduled",
    "decisionmakerboughtin",
    "contractsent",
    "closedwon",
    "closedlost",
];

const SUBJECTS: [&str; 6] = [
    "Cannot log in",
    "Invoice question",
    "Export is empty 😕",
    "Feature request: dark mode",
    "API returns 429",
    "ログインできません",
];

impl World {
    /// Appends a contact's fact; none if she has no such value.
    pub(super) fn person(&self, fact: PersonFact, who: &Seeded, out: &mut String) -> Option<()> {
        match fact {
            // Recorded accounts hold `""` in both names.
            PersonFact::First if is_rare(who.draw, "no first name", 100) => {}
            PersonFact::Last if is_rare(who.draw, "no last name", 80) => {}
            PersonFact::First => {
                push_typed(words::FIRST[self.names(who.index).0], who.draw, out);
            }
            PersonFact::Last => {
                push_typed(words::LAST[self.names(who.index).1], who.draw.of_property(2), out);
            }
            PersonFact::FullName => self.push_full_name(who.index, out),
            PersonFact::Email => self.push_email(who, out)?,
            PersonFact::AdditionalEmails => self.push_additional_email(who, out)?,
            PersonFact::EmailDomain => {
                self.mailbox(who)?;
                self.push_email_domain(namesake(self.seed, who.index), out);
            }
            PersonFact::Phone => {
                let draw = who.draw.of_property(salt("phone"));
                if draw.chance(35) {
                    return None;
                }
                dirt::push_phone(draw, out);
            }
            PersonFact::CompanyName => self.push_company_name(who.company?, out),
            PersonFact::CompanyId => {
                moment::push_number(out, self.ids(Realm::Companies).id(who.company?));
            }
            PersonFact::Website => self.push_domain(who.company?, out),
            PersonFact::Stage => out.push_str(person_stage(who.draw)),
            PersonFact::UserId => {
                out.push_str("u-");
                moment::push_number(out, who.index);
            }
        }
        Some(())
    }

    /// Appends a company's fact.
    pub(super) fn company(&self, fact: CompanyFact, who: &Seeded, out: &mut String) -> Option<()> {
        match fact {
            CompanyFact::Name => self.push_company_name(who.index, out),
            CompanyFact::Domain => self.push_typed_domain(who, out),
            CompanyFact::MoreDomains => {
                who.draw.of_property(salt("more domains")).chance(3).then_some(())?;
                out.push_str("old-");
                self.push_domain(who.index, out);
                out.push_str(";shop.");
                self.push_domain(who.index, out);
            }
            CompanyFact::Website => {
                out.push_str(who.draw.of_property(salt("website")).pick(&[
                    "",
                    "",
                    "",
                    "https://",
                    "http://www.",
                    "https://www.",
                    "HTTP://",
                ]));
                self.push_domain(who.index, out);
            }
            CompanyFact::Stage => out.push_str(person_stage(who.draw)),
            CompanyFact::AccountKey => {
                out.push_str("acct-");
                moment::push_number(out, who.index);
            }
        }
        Some(())
    }

    /// Appends a deal's fact.
    pub(super) fn deal(&self, fact: DealFact, which: &Seeded, out: &mut String) -> Option<()> {
        let draw = which.draw;
        match fact {
            DealFact::Name => {
                if let Some(company) = which.company {
                    self.push_company_name(company, out);
                    out.push_str(" – ");
                }
                out.push_str(
                    ["New business", "Renewal", "Upsell", "Pilot"][draw.below(4) as usize],
                );
            }
            DealFact::Amount => push_amount(draw.of_property(salt("amount")), out)?,
            DealFact::Pipeline => out.push_str(deal_pipeline(draw)),
            DealFact::Stage => out.push_str(deal_stage(draw)),
            DealFact::CloseDate => dirt::push_close_date(which, draw, out),
        }
        Some(())
    }

    /// Appends a ticket's fact.
    pub(super) fn ticket(&self, fact: TicketFact, which: &Seeded, out: &mut String) -> Option<()> {
        match fact {
            TicketFact::Subject => out.push_str(which.draw.pick(&SUBJECTS)),
            TicketFact::Stage => out.push_str(which.draw.pick(&["1", "2", "3", "4", "4"])),
        }
        Some(())
    }

    /// The contacts an address may belong to by construction: the number in it
    /// is hers or that of the person she is a second record of, so that no
    /// index of addresses is kept.
    pub(crate) fn contacts_of_email(&self, email: &str) -> impl Iterator<Item = u64> {
        let local = email.split('@').next().unwrap_or_default();
        let digits = local.split('+').next().unwrap_or_default();
        let digits = digits.trim_start_matches(|letter: char| !letter.is_ascii_digit());
        let index = digits.parse::<u64>().ok();
        let count = self.count(Realm::Contacts);
        let both = index.into_iter().flat_map(|index| [index, index.saturating_add(1)]);
        both.filter(move |index| *index < count)
    }

    /// A contact's primary address.
    pub(crate) fn email(&self, who: &Seeded) -> Option<String> {
        let mut email = String::new();
        self.push_email(who, &mut email).map(|()| email)
    }

    /// A company's domain.
    pub(crate) fn domain(&self, company: u64) -> String {
        let mut domain = String::new();
        self.push_domain(company, &mut domain);
        domain
    }

    fn push_email(&self, who: &Seeded, out: &mut String) -> Option<()> {
        let mailbox = self.mailbox(who)?;
        self.push_address(namesake(self.seed, who.index), mailbox, out);
        Some(())
    }

    /// How a contact's own address is written; none if she has none at all.
    fn mailbox(&self, who: &Seeded) -> Option<Mailbox> {
        if is_duplicate(self.seed, who.index) {
            let dotless = Draw::of(self.seed, salt("dotless"), who.index).chance(40);
            return Some(if dotless { Mailbox::Dotless } else { Mailbox::Tagged });
        }
        (!who.draw.of_property(salt("no email")).chance(3)).then_some(Mailbox::Plain)
    }

    /// Addresses she had before, and those of records merged into hers.
    fn push_additional_email(&self, who: &Seeded, out: &mut String) -> Option<()> {
        let rare = who.draw.of_property(salt("more emails")).chance(2);
        if !(rare || who.merged) || is_duplicate(self.seed, who.index) {
            return None;
        }
        let (first, _) = self.names(who.index);
        for (turn, domain) in words::FREE_MAIL.iter().take(1 + usize::from(who.merged)).enumerate()
        {
            if turn > 0 {
                out.push(';');
            }
            out.push_str(words::FIRST_PLAIN[first]);
            moment::push_number(out, who.index);
            out.push('@');
            out.push_str(domain);
        }
        Some(())
    }

    fn push_address(&self, index: u64, mailbox: Mailbox, out: &mut String) {
        let (first, last) = self.names(index);
        out.push_str(words::FIRST_PLAIN[first]);
        if mailbox != Mailbox::Dotless {
            out.push('.');
        }
        out.push_str(words::LAST_PLAIN[last]);
        moment::push_number(out, index);
        if mailbox == Mailbox::Tagged {
            out.push_str("+crm");
        }
        out.push('@');
        self.push_email_domain(index, out);
    }

    /// A contact's first and last name as they should be.
    pub(super) fn push_full_name(&self, index: u64, out: &mut String) {
        let (first, last) = self.names(index);
        out.push_str(words::FIRST[first]);
        out.push(' ');
        out.push_str(words::LAST[last]);
    }

    fn push_email_domain(&self, index: u64, out: &mut String) {
        match self.company_of_contact(index) {
            Some(company) => self.push_domain(company, out),
            None => out.push_str(words::FREE_MAIL[(index % 3) as usize]),
        }
    }

    /// Where a contact's names lie in the word lists.
    fn names(&self, index: u64) -> (usize, usize) {
        let draw = Draw::of(self.seed, salt("names"), namesake(self.seed, index));
        let first = draw.below(words::FIRST.len() as u64) as usize;
        let last = draw.of_property(1).below(words::LAST.len() as u64) as usize;
        (first, last)
    }

    pub(super) fn push_company_name(&self, index: u64, out: &mut String) {
        let draw = self.company_draw(index);
        out.push_str(draw.pick(words::COMPANY_FIRST));
        out.push(' ');
        out.push_str(draw.of_property(1).pick(words::COMPANY_SECOND));
        let form = draw.of_property(2).pick(words::COMPANY_FORM);
        if !form.is_empty() {
            out.push(' ');
            out.push_str(form);
        }
    }

    /// The domain as it stands on the record: not always as it should be.
    fn push_typed_domain(&self, who: &Seeded, out: &mut String) {
        let start = out.len();
        match who.draw.of_property(salt("domain")).below(100) {
            0..2 => out.push_str("www."),
            2..4 => {
                self.push_domain(who.index, out);
                let first = out[start..start + 1].to_ascii_uppercase();
                return out.replace_range(start..start + 1, &first);
            }
            _ => {}
        }
        self.push_domain(who.index, out);
    }

    /// Appends a company's domain, `amber-foods-12.example`. A few were made
    /// of somebody's free-mail address and share its domain.
    pub(super) fn push_domain(&self, index: u64, out: &mut String) {
        let draw = self.company_draw(index);
        if is_rare(draw, "free mail", 100) {
            return out.push_str(draw.of_property(4).pick(words::FREE_MAIL));
        }
        let words =
            [draw.pick(words::COMPANY_FIRST), draw.of_property(1).pick(words::COMPANY_SECOND)];
        for word in words {
            out.extend(word.chars().map(|letter| letter.to_ascii_lowercase()));
            out.push('-');
        }
        moment::push_number(out, index);
        out.push_str(if draw.of_property(3).chance(80) { ".example" } else { ".test" });
    }

    fn company_draw(&self, index: u64) -> Draw {
        Draw::of(self.seed, salt("company names"), index)
    }
}

/// How a local part is written: `anna.keller7`, `anna.keller7+crm`,
/// `annakeller7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mailbox {
    Plain,
    Tagged,
    Dotless,
}

/// Whether a contact is a second record of the person before her.
fn is_duplicate(seed: u64, index: u64) -> bool {
    index > 0 && Draw::of(seed, salt("duplicate"), index).chance(1)
}

/// The contact whose name and domain this one bears: mostly her own.
fn namesake(seed: u64, index: u64) -> u64 {
    if is_duplicate(seed, index) { index - 1 } else { index }
}

fn person_stage(draw: Draw) -> &'static str {
    // Most of a database is leads, a tenth customers.
    const SHARES: [u64; 8] = [15, 40, 15, 8, 8, 11, 1, 2];
    let mut at = draw.of_property(salt("lifecyclestage")).below(100);
    for (stage, share) in STAGES.into_iter().zip(SHARES) {
        if at < share {
            return stage;
        }
        at -= share;
    }
    "other"
}

fn deal_pipeline(draw: Draw) -> &'static str {
    if draw.of_property(salt("pipeline")).chance(85) { "default" } else { "renewals" }
}

fn deal_stage(draw: Draw) -> &'static str {
    let stage = draw.of_property(salt("dealstage"));
    match deal_pipeline(draw) {
        "default" => stage.pick(&DEAL_STAGES),
        _ => stage.pick(&["renewalopen", "renewalwon", "renewallost"]),
    }
}

fn push_amount(draw: Draw, out: &mut String) -> Option<()> {
    if draw.chance(6) {
        return None;
    }
    moment::push_number(out, draw.below(180_000));
    // Decimals keep the text they were written with (recorded: `1000.00`).
    out.push_str(["", ".00", ".5", ".0"][draw.of_property(1).below(4) as usize]);
    Some(())
}
