//! Sums up the counts of all clients: classes, clients that were touched, and the worst.

use std::cmp::Reverse;

use crate::report::{Class, Client};

/// How many of the most denied clients are named.
const WORST: usize = 10;

/// What the counts of the clients add up to.
pub(crate) struct Summary {
    /// The class at index `i` has the clients with `i + 1` decimal digits of requests.
    classes: Vec<Class>,
    /// By policy.
    worst: Vec<Worst>,
    pub(crate) internal: Internal,
}

/// The clients with addresses that are not on the internet.
#[derive(Default)]
pub(crate) struct Internal {
    pub(crate) clients: u64,
    pub(crate) requests: u64,
    /// The text of one of them: the first in order.
    pub(crate) example: String,
}

/// The clients that a policy denied most, the most denied first.
#[derive(Default)]
struct Worst(Vec<Client>);

impl Summary {
    pub(crate) fn new(policies: usize) -> Summary {
        Summary {
            classes: Vec::new(),
            worst: (0..policies).map(|_| Worst::default()).collect(),
            internal: Internal::default(),
        }
    }

    /// Adds a client with at least one request. `text` makes the text of its key.
    pub(crate) fn add(
        &mut self,
        text: impl Fn() -> String,
        is_internal: bool,
        requests: u64,
        denied: &[u64],
    ) {
        let class = requests.max(1).ilog10() as usize;
        while self.classes.len() <= class {
            self.classes
                .push(empty_class(self.classes.len(), self.worst.len()));
        }
        self.classes[class].add(requests, denied);

        for (worst, denied) in self.worst.iter_mut().zip(denied) {
            worst.add(&text, requests - denied, *denied);
        }
        if is_internal {
            let example = text();
            if self.internal.clients == 0 || example < self.internal.example {
                self.internal.example = example;
            }
            self.internal.clients += 1;
            self.internal.requests += requests;
        }
    }

    /// Returns the number of clients.
    pub(crate) fn clients(&self) -> u64 {
        self.classes.iter().map(|class| class.clients).sum()
    }

    /// Returns how many clients the policy with this index denied at least once.
    pub(crate) fn touched(&self, policy: usize) -> u64 {
        self.classes.iter().map(|class| class.touched[policy]).sum()
    }

    /// Returns the classes that have a client, and the worst clients of each policy.
    pub(crate) fn finish(self) -> (Vec<Class>, Vec<Vec<Client>>) {
        let classes = self.classes.into_iter();
        let worst = self.worst.into_iter().map(|Worst(clients)| clients);
        (
            classes.filter(|class| class.clients > 0).collect(),
            worst.collect(),
        )
    }
}

fn empty_class(index: usize, policies: usize) -> Class {
    let at_least = 10_u64.pow(index as u32);
    Class {
        at_least,
        at_most: at_least.saturating_mul(10) - 1,
        clients: 0,
        requests: 0,
        touched: vec![0; policies],
        denied: vec![0; policies],
    }
}

impl Class {
    fn add(&mut self, requests: u64, denied: &[u64]) {
        self.clients += 1;
        self.requests += requests;
        for (index, denied) in denied.iter().enumerate() {
            self.denied[index] += denied;
            self.touched[index] += u64::from(*denied > 0);
        }
    }
}

impl Worst {
    /// Keeps a client if it is among the most denied, of equals the first by the text of its key.
    fn add(&mut self, text: impl Fn() -> String, admitted: u64, denied: u64) {
        let last = self.0.get(WORST - 1);
        if denied == 0 || last.is_some_and(|last| denied < last.denied) {
            return;
        }
        let key = text();
        let place = self.0.partition_point(|client| {
            (Reverse(client.denied), &client.key) < (Reverse(denied), &key)
        });
        let client = Client {
            key,
            admitted,
            denied,
        };
        self.0.insert(place, client);
        self.0.truncate(WORST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(clients: &[(&str, u64, u64)]) -> Summary {
        let mut summary = Summary::new(1);
        for (key, requests, denied) in clients {
            summary.add(|| key.to_string(), *key < "b", *requests, &[*denied]);
        }
        summary
    }

    #[test]
    fn classes_have_one_digit_more_each_and_those_without_clients_are_left_out() {
        let summary = summary(&[("a", 1, 0), ("b", 9, 1), ("c", 100, 0), ("d", 999, 10)]);
        assert_eq!(summary.clients(), 4);
        let internal = &summary.internal;
        assert_eq!((internal.clients, internal.requests), (1, 1));
        assert_eq!(internal.example, "a");
        let (classes, _) = summary.finish();
        let ranges: Vec<_> = classes
            .iter()
            .map(|class| (class.at_least, class.at_most))
            .collect();
        assert_eq!(ranges, [(1, 9), (100, 999)]);
        assert_eq!((classes[0].clients, classes[0].requests), (2, 10));
        assert_eq!((classes[0].touched[0], classes[0].denied[0]), (1, 1));
        assert_eq!((classes[1].touched[0], classes[1].denied[0]), (1, 10));
    }

    #[test]
    fn the_ten_worst_are_ordered_by_denials_and_then_by_text() {
        let clients: Vec<_> = "lkjihgfedcba".split("").map(|key| (key, 5, 1)).collect();
        let mut clients = clients[1..13].to_vec();
        clients.extend([("z", 7, 2), ("never denied", 100, 0)]);
        let summary = summary(&clients);
        assert_eq!(summary.touched(0), 13);
        let worst = &summary.finish().1[0];
        let keys: Vec<_> = worst.iter().map(|client| client.key.as_str()).collect();
        assert_eq!(keys.concat(), "zabcdefghi");
        assert_eq!((worst[0].admitted, worst[0].denied), (5, 2));
    }
}
