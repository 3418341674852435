//! Putting a member out of its group behind its back, as a broker does when a session times out, but at once. The client
//! library has no call for it, so the request is written by hand.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};

const TIMEOUT: Duration = Duration::from_secs(10);
/// LeaveGroup, in a version whose fields have fixed widths.
const LEAVE_GROUP: (i16, i16) = (13, 3);

/// Big-endian fields, one after the other, as Kafka's protocol has them.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }
    fn short(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().unwrap())
    }
    fn int(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().unwrap())
    }
    fn text(&mut self) -> &'a str {
        let length = self.short() as usize;
        std::str::from_utf8(self.take(length)).unwrap()
    }
}

/// Whether an assignment as the group protocol encodes it names the partition.
fn names(assignment: &[u8], topic: &str, partition: u32) -> bool {
    let mut fields = Fields(assignment);
    if assignment.is_empty() {
        return false;
    }
    let _version = fields.short();
    (0..fields.int()).any(|_| {
        let of_topic = fields.text() == topic;
        let partitions: Vec<i32> = (0..fields.int()).map(|_| fields.int()).collect();
        of_topic && partitions.contains(&(partition as i32))
    })
}

fn text(into: &mut Vec<u8>, text: &str) {
    into.extend((text.len() as i16).to_be_bytes());
    into.extend(text.as_bytes());
}

fn leave_request(group: &str, member: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(LEAVE_GROUP.0.to_be_bytes());
    body.extend(LEAVE_GROUP.1.to_be_bytes());
    body.extend(1i32.to_be_bytes()); // correlation id
    text(&mut body, "test"); // client id
    text(&mut body, group);
    body.extend(1i32.to_be_bytes()); // one member
    text(&mut body, member);
    body.extend((-1i16).to_be_bytes()); // without an instance id
    let mut request = (body.len() as i32).to_be_bytes().to_vec();
    request.extend(body);
    request
}

/// The error codes of a request that asks `broker` to let `member` go: of the request, and of the member.
fn leave(broker: &str, group: &str, member: &str) -> (i16, Vec<i16>) {
    let mut stream = TcpStream::connect(broker).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(&leave_request(group, member)).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).unwrap();
    let mut fields = Fields(&answer);
    let (_correlation, _throttled_ms, error) = (fields.int(), fields.int(), fields.short());
    let of_members = (0..fields.int()).map(|_| {
        let (_member, _instance) = (fields.text().to_owned(), fields.short());
        fields.short()
    });
    (error, of_members.collect())
}

/// Puts the member of `group` that has `partition` of `topic` out. The group must be at one broker, or at the first one.
pub(crate) fn owner(brokers: &str, group: &str, topic: &str, partition: u32) {
    let asker: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let list = asker.fetch_group_list(Some(group), TIMEOUT).unwrap();
    let members = list.groups().iter().flat_map(|group| group.members());
    let mut owners = members.filter(|member| names(member.assignment().unwrap_or(&[]), topic, partition));
    let owner = owners.next().expect("the partition has an owner").id().to_owned();
    let broker = brokers.split(',').next().unwrap();
    assert_eq!(leave(broker, group, &owner), (0, vec![0]), "{group} lets {owner} go");
}
