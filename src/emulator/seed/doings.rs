//! The parts of seeded activities, products, line items, quotes and leads that
//! hang together.

use super::dirt;
use super::draw::{Draw, salt};
use super::realms::Realm;
use super::words;
use super::world::{Seeded, World};
use crate::emulator::moment;

/// Characters of a body's preview.
const PREVIEW: usize = 200;

/// Facts of notes, tasks, calls, meetings and emails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ActivityFact {
    /// The text somebody wrote.
    Body,
    /// Its beginning.
    Preview,
    /// Whether that is not all of it.
    PreviewCut,
    Title,
    TaskStatus,
    /// `1` or `0`.
    TaskDone,
    TaskDoneAt,
    /// Half an hour after it began.
    End,
    /// The other side's address.
    To,
    /// Her domain.
    ToDomain,
}

/// Facts of products, line items, quotes and leads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TradeFact {
    ProductName,
    ProductPrice,
    Sku,
    ItemProduct,
    ItemName,
    ItemPrice,
    ItemQuantity,
    ItemAmount,
    QuoteTitle,
    QuoteExpiry,
    LeadName,
}

const TASK_STATUS: [&str; 6] =
    ["NOT_STARTED", "IN_PROGRESS", "COMPLETED", "COMPLETED", "WAITING", "DEFERRED"];

impl World {
    /// Appends an activity's fact.
    pub(super) fn activity(
        &self,
        fact: ActivityFact,
        realm: Realm,
        which: &Seeded,
        out: &mut String,
    ) -> Option<()> {
        let body = which.draw.of_property(salt("body"));
        match fact {
            ActivityFact::Body => dirt::push_note(body, out),
            ActivityFact::Preview => {
                let start = out.len();
                dirt::push_note(body, out);
                if let Some((end, _)) = out[start..].char_indices().nth(PREVIEW) {
                    out.truncate(start + end);
                }
            }
            ActivityFact::PreviewCut => {
                let mut text = String::new();
                dirt::push_note(body, &mut text);
                let cut = text.chars().nth(PREVIEW).is_some();
                out.push_str(if cut { "true" } else { "false" });
            }
            ActivityFact::Title => out.push_str(body.of_property(1).pick(words::TITLE)),
            ActivityFact::TaskStatus => out.push_str(task_status(which)),
            ActivityFact::TaskDone => {
                out.push(if task_status(which) == "COMPLETED" { '1' } else { '0' });
            }
            ActivityFact::TaskDoneAt => {
                (task_status(which) == "COMPLETED").then_some(())?;
                moment::push_trimmed(out, which.modified);
            }
            ActivityFact::End => moment::push_trimmed(out, which.created + 1_800_000),
            ActivityFact::To => out.push_str(&self.address_of_activity(realm, which)?),
            ActivityFact::ToDomain => {
                let address = self.address_of_activity(realm, which)?;
                out.push_str(address.split_once('@')?.1);
            }
        }
        Some(())
    }

    /// Appends a fact of what is sold.
    pub(super) fn trade(&self, fact: TradeFact, which: &Seeded, out: &mut String) -> Option<()> {
        match fact {
            TradeFact::ProductName => self.push_product_name(which.index, out),
            TradeFact::ProductPrice => push_cents(self.price(which.index), out),
            TradeFact::Sku => {
                out.push_str("SKU-");
                moment::push_number(out, 1_000 + which.index);
            }
            TradeFact::ItemProduct => {
                moment::push_number(out, self.ids(Realm::Products).id(self.product_of(which)?));
            }
            TradeFact::ItemName => self.push_product_name(self.product_of(which)?, out),
            TradeFact::ItemPrice => push_cents(self.price(self.product_of(which)?), out),
            TradeFact::ItemQuantity => moment::push_number(out, quantity(which)),
            TradeFact::ItemAmount => {
                push_cents(self.price(self.product_of(which)?) * quantity(which), out);
            }
            TradeFact::QuoteTitle => {
                let company = self.company_of_deal(self.deal_of_quote(which.index)?);
                out.push_str("Offer ");
                moment::push_number(out, 1_001 + which.index);
                if let Some(company) = company {
                    out.push_str(" for ");
                    self.push_company_name(company, out);
                }
            }
            TradeFact::QuoteExpiry => {
                moment::push_trimmed(out, which.created + 30 * moment::DAY);
            }
            TradeFact::LeadName => {
                self.push_full_name(self.contact_of_lead(which.index)?, out);
            }
        }
        Some(())
    }

    fn address_of_activity(&self, realm: Realm, which: &Seeded) -> Option<String> {
        let at = Realm::ACTIVITIES.iter().position(|other| *other == realm)?;
        let contact = self.contact_of_activity(at, which.index)?;
        self.email(&self.record(Realm::Contacts, contact))
    }

    fn product_of(&self, item: &Seeded) -> Option<u64> {
        let products = self.count(Realm::Products);
        (products > 0).then(|| item.draw.of_property(salt("product")).below(products))
    }

    fn product_draw(&self, product: u64) -> Draw {
        Draw::of(self.seed, salt("product names"), product)
    }

    /// In cents.
    fn price(&self, product: u64) -> u64 {
        let draw = self.product_draw(product).of_property(3);
        100 * (1 + draw.below(2_000)) + draw.of_property(1).pick(&[0, 0, 50, 99])
    }

    fn push_product_name(&self, product: u64, out: &mut String) {
        let draw = self.product_draw(product);
        out.push_str(draw.pick(words::COMPANY_FIRST));
        out.push(' ');
        out.push_str(draw.of_property(1).pick(&["Seat", "Module", "Support", "Training day"]));
        out.push_str(draw.of_property(2).pick(&["", " (yearly)", " – 12 months", " ®"]));
    }
}

fn task_status(which: &Seeded) -> &'static str {
    which.draw.of_property(salt("task status")).pick(&TASK_STATUS)
}

fn quantity(item: &Seeded) -> u64 {
    1 + item.draw.of_property(salt("quantity")).below(24)
}

fn push_cents(cents: u64, out: &mut String) {
    moment::push_number(out, cents / 100);
    let rest = cents % 100;
    if rest > 0 {
        out.push('.');
        moment::push_number(out, rest / 10);
        moment::push_number(out, rest % 10);
    }
}
