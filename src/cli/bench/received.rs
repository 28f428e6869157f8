//! Which messages a subscriber has: so that one that comes again is not taken for one that was missed.

/// Bits of a word.
const BITS: u32 = u64::BITS;

/// The numbers of the messages that a subscriber has received.
///
/// One publisher's come in the order of their numbers, so that the newest says it all. Of several
/// publishers each message has a bit: as many bits as there are deliveries, where there is one topic.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// The newest, plus one.
    end: u32,
    /// Empty as long as they come in order.
    bits: Vec<u64>,
}

impl Received {
    /// Takes a message; whether it is new. `is_ordered` when all come from one publisher.
    pub(super) fn take(&mut self, number: u32, is_ordered: bool) -> bool {
        if is_ordered {
            let is_new = number >= self.end;
            self.end = self.end.max(number + 1);
            return is_new;
        }
        let (word, bit) = ((number / BITS) as usize, 1 << (number % BITS));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let is_new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(numbers: &[u32], is_ordered: bool) -> Vec<bool> {
        let mut received = Received::default();
        numbers.iter().map(|&number| received.take(number, is_ordered)).collect()
    }

    #[test]
    fn of_several_publishers_only_what_was_there_before_came_again() {
        let numbers = [7, 3, 200, 3, 64, 63, 200, 0];
        assert_eq!(taken(&numbers, false), [true, true, true, false, true, true, false, true]);
    }

    #[test]
    fn of_one_publisher_what_is_older_came_again() {
        assert_eq!(taken(&[0, 2, 1, 2, 3], true), [true, true, false, false, true]);
    }
}
