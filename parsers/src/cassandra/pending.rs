//! The requests of a connection that the server has not answered yet, by their streams.

/// What is awaited on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Awaited {
    /// A request that has nothing to do with the connection's keyspace.
    Plain = 1,
    /// One that names something without its keyspace.
    Unqualified,
    /// A USE: nothing unqualified runs beside it, nor another USE.
    Use,
    /// A PREPARE, which has a [`Statement`](super::prepared::Statement) waiting for its id.
    Prepare,
    UnqualifiedPrepare,
    Startup,
    Auth,
    Options,
    Register,
    /// A request of ours, in the place of a denied one.
    StandIn,
}

impl Awaited {
    const ALL: [Self; 10] = [
        Self::Plain,
        Self::Unqualified,
        Self::Use,
        Self::Prepare,
        Self::UnqualifiedPrepare,
        Self::Startup,
        Self::Auth,
        Self::Options,
        Self::Register,
        Self::StandIn,
    ];

    const fn is_unqualified(self) -> bool {
        matches!(self, Self::Unqualified | Self::UnqualifiedPrepare)
    }

    pub(super) const fn is_prepare(self) -> bool {
        matches!(self, Self::Prepare | Self::UnqualifiedPrepare)
    }
}

/// The streams in use. Clients use the lowest ones that are free, so most connections have one page.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pages: Vec<Option<Box<[u8; PAGE]>>>,
    count: u16,
    unqualified: u16,
    has_use: bool,
}

/// Streams of a page.
const PAGE: usize = 64;

impl Pending {
    /// Whether nothing is awaited.
    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether a USE is awaited, so that nobody knows the keyspace.
    pub(super) const fn has_use(&self) -> bool {
        self.has_use
    }

    /// Whether a request is awaited that depends on the keyspace.
    pub(super) const fn needs_keyspace(&self) -> bool {
        self.unqualified > 0
    }

    /// What is awaited on a stream.
    pub(super) fn get(&self, stream: i16) -> Option<Awaited> {
        let stream = usize::try_from(stream).ok()?;
        let page = self.pages.get(stream / PAGE)?.as_ref()?;
        let number = page.get(stream % PAGE).copied()?;
        Awaited::ALL.get(usize::from(number.checked_sub(1)?)).copied()
    }

    /// Notes a request. Its stream must not be in use, nor negative.
    pub(super) fn add(&mut self, stream: i16, awaited: Awaited) {
        let Some(place) = self.place(stream) else { return };
        *place = awaited as u8;
        self.count = self.count.saturating_add(1);
        self.unqualified = self.unqualified.saturating_add(u16::from(awaited.is_unqualified()));
        self.has_use |= awaited == Awaited::Use;
    }

    /// Notes the answer.
    pub(super) fn remove(&mut self, stream: i16) {
        let Some(awaited) = self.get(stream) else { return };
        if let Some(place) = self.place(stream) {
            *place = 0;
        }
        self.count = self.count.saturating_sub(1);
        self.unqualified = self.unqualified.saturating_sub(u16::from(awaited.is_unqualified()));
        self.has_use &= awaited != Awaited::Use;
    }

    fn place(&mut self, stream: i16) -> Option<&mut u8> {
        let stream = usize::try_from(stream).ok()?;
        let page = stream / PAGE;
        if self.pages.len() <= page {
            // 512 pages at most: streams are numbers of fifteen bits.
            self.pages.resize_with(page.saturating_add(1), || None);
        }
        self.pages.get_mut(page)?.get_or_insert_with(|| Box::new([0; PAGE])).get_mut(stream % PAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_can_be_awaited_and_negative_ones_cannot() {
        let mut pending = Pending::default();
        for stream in 0..=i16::MAX {
            let awaited = Awaited::ALL[usize::try_from(stream).unwrap_or(0) % Awaited::ALL.len()];
            if awaited != Awaited::Use {
                pending.add(stream, awaited);
                assert_eq!(pending.get(stream), Some(awaited));
            }
        }
        pending.add(-1, Awaited::Plain);
        assert_eq!(pending.get(-1), None);
        assert!(pending.needs_keyspace() && !pending.is_empty());
        for stream in 0..=i16::MAX {
            pending.remove(stream);
            assert_eq!(pending.get(stream), None);
        }
        assert!(pending.is_empty() && !pending.needs_keyspace() && !pending.has_use());
    }

    #[test]
    fn a_use_is_known_until_it_is_answered() {
        let mut pending = Pending::default();
        pending.add(3, Awaited::Use);
        pending.add(4, Awaited::Unqualified);
        assert!(pending.has_use() && pending.needs_keyspace());
        pending.remove(4);
        assert!(pending.has_use() && !pending.needs_keyspace());
        pending.remove(3);
        pending.remove(3);
        assert!(!pending.has_use() && pending.is_empty());
    }
}
