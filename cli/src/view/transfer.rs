//! Images on their way to hosts: what `tfleet transfers` shows.

use std::time::Duration;

use serde::Serialize;
use tfleet_proto::model::name::{HostName, ReleaseRef, VariantId};
use tfleet_proto::model::status::{ImagePhase, ImageStatus};

use super::host::Host;
use super::quantity::{bytes, duration};
use super::{Cell, Grid, Tabular, Tone};

/// One image of one host. What is content is uncompressed, what crosses the wire is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    pub host: HostName,
    pub host_connected: bool,
    pub release: ReleaseRef,
    pub variant: VariantId,
    pub phase: ImagePhase,
    pub content_bytes: u64,
    /// Of the content, what the host had before.
    pub present_bytes: u64,
    pub fetched_bytes: u64,
    /// Of the fetched, what the host kept of earlier images, or made of such.
    pub kept_bytes: u64,
    pub loaded_bytes: u64,
    pub wire_bytes: u64,
    /// Of what crossed the wire, what came from other hosts.
    pub peer_bytes: u64,
    /// Just now; `None` unless it is on its way.
    pub wire_bytes_per_second: Option<u64>,
    /// At that rate, until everything is fetched.
    pub seconds_left: Option<u64>,
}

/// Several, and what they come to together.
#[derive(Debug, Serialize)]
pub struct Transfers {
    pub transfers: Vec<Transfer>,
    pub total: Total,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    pub content_bytes: u64,
    /// Not sent, since hosts had it before.
    pub present_bytes: u64,
    /// Not sent, since hosts kept it of earlier images, or made it of such.
    pub kept_bytes: u64,
    pub wire_bytes: u64,
    /// Not sent by the coordinator, since other hosts did.
    pub peer_bytes: u64,
    pub wire_bytes_per_second: u64,
}

/// Which images are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    UnderWay,
    /// Those that are there as well.
    All,
}

impl Transfers {
    /// `before` is what the hosts said so long ago: it gives the rates.
    pub fn of(hosts: &[Host], which: Which, before: Option<(&[Host], Duration)>) -> Self {
        let earlier = |host: &HostName, image: &ImageStatus| {
            let (hosts, time) = before?;
            let host = hosts.iter().find(|other| other.name == *host)?;
            let found = images(host).find(|other| other.artifact == image.artifact)?;
            Some((found, time))
        };
        let transfers: Vec<Transfer> = hosts
            .iter()
            .flat_map(|host| images(host).map(move |image| (host, image)))
            .filter(|(_, image)| match which {
                Which::UnderWay => image.phase == ImagePhase::Transferring,
                Which::All => true,
            })
            .map(|(host, image)| Transfer::of(host, image, earlier(&host.name, image)))
            .collect();
        let total = transfers.iter().fold(Total::default(), Total::and);
        Self { transfers, total }
    }

    pub fn is_any_under_way(&self) -> bool {
        let mut transfers = self.transfers.iter();
        transfers.any(|transfer| transfer.phase == ImagePhase::Transferring)
    }
}

impl Transfer {
    fn of(host: &Host, image: &ImageStatus, before: Option<(&ImageStatus, Duration)>) -> Self {
        let rates = before.filter(|_| image.phase == ImagePhase::Transferring);
        let per_second = |now: u64, of: fn(&ImageStatus) -> u64| {
            let (before, time) = rates?;
            let gained = now.saturating_sub(of(before));
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate for people, not negative and far below 2^53"
            )]
            Some((gained as f64 / time.as_secs_f64().max(0.1)) as u64)
        };
        let needed = image.content_bytes.saturating_sub(image.present_bytes);
        let to_go = needed.saturating_sub(image.fetched_bytes);
        let content_rate = per_second(image.fetched_bytes, |image| image.fetched_bytes);
        Self {
            host: host.name.clone(),
            host_connected: host.connected,
            release: image.release.clone(),
            variant: image.variant.clone(),
            phase: image.phase,
            content_bytes: image.content_bytes,
            present_bytes: image.present_bytes,
            fetched_bytes: image.fetched_bytes,
            kept_bytes: image.kept_bytes,
            loaded_bytes: image.loaded_bytes,
            wire_bytes: image.wire_bytes,
            peer_bytes: image.peer_bytes,
            wire_bytes_per_second: per_second(image.wire_bytes, |image| image.wire_bytes),
            seconds_left: content_rate.and_then(|rate| to_go.checked_div(rate)),
        }
    }

    fn row(&self) -> Vec<Cell> {
        let needed = self.content_bytes.saturating_sub(self.present_bytes);
        let to_go = needed.saturating_sub(self.fetched_bytes);
        let state = match (self.phase, self.host_connected) {
            (_, false) => Cell::from("disconnected").toned(Tone::Attention),
            (ImagePhase::Present, _) => Cell::from("present").toned(Tone::Good),
            (ImagePhase::Failed, _) => Cell::from("failed").toned(Tone::Bad),
            (ImagePhase::Waiting, _) => Cell::from("waiting").toned(Tone::Attention),
            (ImagePhase::Transferring, _) if to_go == 0 => Cell::from("loading"),
            (ImagePhase::Transferring, _) => Cell::from("fetching"),
        };
        let time = |seconds| duration(Duration::from_secs(seconds));
        vec![
            Cell::from(self.host.as_str()),
            Cell::from(format!("{} ({})", self.release, self.variant)),
            state,
            Cell::from(bytes(to_go)),
            Cell::maybe(self.wire_bytes_per_second.map(|rate| bytes(rate) + "/s")),
            Cell::maybe(self.seconds_left.map(time)),
            Cell::from(bytes(self.wire_bytes.saturating_sub(self.peer_bytes))),
            Cell::from(bytes(self.peer_bytes)),
            Cell::from(bytes(self.kept_bytes)),
            Cell::from(bytes(self.present_bytes)),
        ]
    }
}

impl Total {
    fn and(self, transfer: &Transfer) -> Self {
        Self {
            content_bytes: self.content_bytes.saturating_add(transfer.content_bytes),
            present_bytes: self.present_bytes.saturating_add(transfer.present_bytes),
            kept_bytes: self.kept_bytes.saturating_add(transfer.kept_bytes),
            wire_bytes: self.wire_bytes.saturating_add(transfer.wire_bytes),
            peer_bytes: self.peer_bytes.saturating_add(transfer.peer_bytes),
            wire_bytes_per_second: self
                .wire_bytes_per_second
                .saturating_add(transfer.wire_bytes_per_second.unwrap_or(0)),
        }
    }

    fn row(&self) -> Vec<Cell> {
        let rate = self.wire_bytes_per_second;
        vec![
            Cell::from("in all").toned(Tone::Faint),
            Cell::from(""),
            Cell::from(""),
            Cell::from(""),
            Cell::maybe((rate > 0).then(|| bytes(rate) + "/s")),
            Cell::from(""),
            Cell::from(bytes(self.wire_bytes.saturating_sub(self.peer_bytes))),
            Cell::from(bytes(self.peer_bytes)),
            Cell::from(bytes(self.kept_bytes)),
            Cell::from(bytes(self.present_bytes)),
        ]
    }
}

impl Tabular for Transfers {
    fn grids(&self) -> Vec<Grid> {
        let total = (self.transfers.len() > 1).then(|| self.total.row());
        let grid = Grid::new([
            "HOST",
            "RELEASE",
            "STATE",
            "TO GO",
            "RATE",
            "LEFT",
            "FROM COORDINATOR",
            "FROM HOSTS",
            "FROM CACHE",
            "THERE BEFORE",
        ])
        .when_empty("nothing is on its way; start something: tfleet rollout start RELEASE --all")
        .with_rows(self.transfers.iter().map(Transfer::row))
        .with_rows(total);
        vec![grid]
    }
}

fn images(host: &Host) -> impl Iterator<Item = &ImageStatus> {
    host.status.iter().flat_map(|status| &status.images)
}

#[cfg(test)]
mod tests {
    use tfleet_proto::model::digest::Digest;
    use tfleet_proto::model::status::HostStatus;

    use super::*;

    fn host(name: &str, fetched_bytes: u64, wire_bytes: u64, peer_bytes: u64) -> Host {
        let image = ImageStatus {
            artifact: Digest::of(b"image"),
            release: "train:v1".parse().unwrap(),
            variant: "tf2.15.1-cpu".parse().unwrap(),
            phase: ImagePhase::Transferring,
            content_bytes: 1000 << 20,
            present_bytes: 100 << 20,
            fetched_bytes: fetched_bytes << 20,
            kept_bytes: 10 << 20,
            wire_bytes: wire_bytes << 20,
            peer_bytes: peer_bytes << 20,
            loaded_bytes: 0,
            started_at: None,
            finished_at: None,
            failure: None,
            tags: Vec::new(),
        };
        Host {
            name: name.parse().unwrap(),
            connected: true,
            last_seen_at: None,
            enrolled_at: None,
            certificate_ends_at: None,
            agent_version: "0.1.0".to_owned(),
            address: String::new(),
            inventory: None,
            status: Some(HostStatus {
                images: vec![image],
                ..HostStatus::default()
            }),
            desired: None,
        }
    }

    #[test]
    fn two_looks_give_rate_and_time_left_and_sums() {
        let before = [host("a", 400, 200, 50), host("b", 880, 440, 0)];
        let now = [host("a", 500, 240, 90), host("b", 900, 450, 0)];
        let time = Duration::from_secs(2);
        let transfers = Transfers::of(&now, Which::UnderWay, Some((&before, time)));
        let rows: Vec<Vec<String>> = transfers.grids()[0]
            .to_text()
            .lines()
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect();
        let train = "train:v1 (tf2.15.1-cpu)";
        let (a, b) = (
            [
                "a",
                train,
                "fetching",
                "400.0 MiB",
                "20.0 MiB/s",
                "8s",
                "150.0 MiB",
                "90.0 MiB",
                "10.0 MiB",
                "100.0 MiB",
            ],
            [
                "b",
                train,
                "loading",
                "0 B",
                "5.0 MiB/s",
                "0s",
                "450.0 MiB",
                "0 B",
                "10.0 MiB",
                "100.0 MiB",
            ],
        );
        let all = [
            "in all",
            "",
            "",
            "",
            "25.0 MiB/s",
            "",
            "600.0 MiB",
            "90.0 MiB",
            "20.0 MiB",
            "200.0 MiB",
        ];
        assert_eq!(rows, [a, b, all]);
    }

    #[test]
    fn a_first_look_knows_no_rate_and_what_is_there_is_shown_on_demand() {
        let mut here = host("a", 900, 450, 0);
        let status = here.status.as_mut().unwrap();
        status.images[0].phase = ImagePhase::Present;
        let hosts = [here, host("b", 1, 1, 0)];
        let under_way = Transfers::of(&hosts, Which::UnderWay, None);
        assert_eq!(under_way.transfers.len(), 1);
        assert_eq!(under_way.transfers[0].wire_bytes_per_second, None);
        assert_eq!(Transfers::of(&hosts, Which::All, None).transfers.len(), 2);
    }
}
