//! What the log says of a catalog that is away: once that it is, and once that it is back.

use std::collections::BTreeSet;

/// What the log has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The catalog is away.
    Away,
    /// It is back.
    Back,
    /// It is there, but refuses what somebody asks.
    Refuses,
    /// It refuses that no longer.
    Accepts,
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// It was answered as it should be.
    Good,
    /// It was refused by somebody who knows what he does.
    Refused,
    /// It was not answered, or in no way that makes sense.
    Lost,
}

/// Who has trouble with the catalog.
#[derive(Debug, Default)]
pub struct Contacts {
    lost: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Contacts {
    /// Somebody's request went so.
    pub fn had(&mut self, who: &str, contact: Contact) -> Option<Notice> {
        let was_lost = !self.lost.is_empty();
        let was_refused = self.refused.contains(who);
        self.lost.remove(who);
        match contact {
            Contact::Good => {
                self.refused.remove(who);
                match (was_lost && self.lost.is_empty(), was_refused) {
                    (true, _) => Some(Notice::Back),
                    (false, true) => Some(Notice::Accepts),
                    (false, false) => None,
                }
            }
            Contact::Refused => {
                self.refused.insert(who.to_owned());
                (!was_refused).then_some(Notice::Refuses)
            }
            Contact::Lost => {
                self.lost.insert(who.to_owned());
                (!was_lost).then_some(Notice::Away)
            }
        }
    }

    /// Nobody asks for this one any more.
    pub fn forget(&mut self, who: &str) {
        self.lost.remove(who);
        self.refused.remove(who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_however_many_suffer() {
        let mut contacts = Contacts::default();
        assert_eq!(contacts.had("a", Contact::Good), None);
        assert_eq!(contacts.had("a", Contact::Lost), Some(Notice::Away));
        assert_eq!(contacts.had("b", Contact::Lost), None);
        assert_eq!(contacts.had("a", Contact::Lost), None);
        assert_eq!(contacts.had("a", Contact::Good), None);
        assert_eq!(contacts.had("b", Contact::Good), Some(Notice::Back));
        assert_eq!(contacts.had("b", Contact::Good), None);
    }

    #[test]
    fn a_refusal_is_told_once_for_each_and_is_no_outage() {
        let mut contacts = Contacts::default();
        assert_eq!(contacts.had("a", Contact::Refused), Some(Notice::Refuses));
        assert_eq!(contacts.had("a", Contact::Refused), None);
        assert_eq!(contacts.had("b", Contact::Refused), Some(Notice::Refuses));
        assert_eq!(contacts.had("b", Contact::Lost), Some(Notice::Away));
        assert_eq!(contacts.had("a", Contact::Good), Some(Notice::Accepts));
        assert_eq!(contacts.had("b", Contact::Good), Some(Notice::Back));
    }

    #[test]
    fn who_is_gone_holds_nobody_up() {
        let mut contacts = Contacts::default();
        contacts.had("a", Contact::Lost);
        contacts.forget("a");
        assert_eq!(contacts.had("b", Contact::Good), None);
        assert_eq!(contacts.had("b", Contact::Lost), Some(Notice::Away));
    }
}
