//! How many bytes partitions have on disk: the one question that librdkafka cannot ask.
//!
//! DescribeLogDirs (key 35) in version 1, the oldest that Kafka 4 answers and the last without flexible fields, from
//! "Kafka protocol guide", sections "Headers" and "DescribeLogDirs API". Only over plain connections: whoever uses TLS or
//! SASL gets no sizes. An answer is read with limits, and one that cannot be read is none.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const KEY: i16 = 35;
const VERSION: i16 = 1;
const TIMEOUT: Duration = Duration::from_secs(3);
/// Answers that are longer are not read.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The bytes of the replicas that a broker has of these partitions, by topic and partition.
pub(super) fn sizes(host: &str, port: u16, partitions: &[(&str, Vec<u32>)]) -> io::Result<HashMap<(String, u32), i64>> {
    let address = (host, port).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(&request(partitions))?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
    if length > MAX_ANSWER_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    parse(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn request(partitions: &[(&str, Vec<u32>)]) -> Vec<u8> {
    let mut body = Vec::new();
    let string = |body: &mut Vec<u8>, text: &str| {
        body.extend_from_slice(&(text.len() as i16).to_be_bytes());
        body.extend_from_slice(text.as_bytes());
    };
    body.extend_from_slice(&KEY.to_be_bytes());
    body.extend_from_slice(&VERSION.to_be_bytes());
    body.extend_from_slice(&1i32.to_be_bytes());
    string(&mut body, "bespoke");
    body.extend_from_slice(&(partitions.len() as i32).to_be_bytes());
    for (topic, partitions) in partitions {
        string(&mut body, topic);
        body.extend_from_slice(&(partitions.len() as i32).to_be_bytes());
        partitions.iter().for_each(|partition| body.extend_from_slice(&partition.to_be_bytes()));
    }
    [&(body.len() as i32).to_be_bytes()[..], &body].concat()
}

fn parse(answer: &[u8]) -> Option<HashMap<(String, u32), i64>> {
    let mut rest = answer;
    let _correlation: i32 = int(&mut rest)?;
    let _throttled_ms: i32 = int(&mut rest)?;
    let mut sizes = HashMap::new();
    for _ in 0..int::<i32, 4>(&mut rest)? {
        let _error: i16 = int(&mut rest)?;
        let _folder = string(&mut rest)?;
        for _ in 0..int::<i32, 4>(&mut rest)? {
            let topic = string(&mut rest)?;
            for _ in 0..int::<i32, 4>(&mut rest)? {
                let partition: i32 = int(&mut rest)?;
                let bytes: i64 = int(&mut rest)?;
                let _lag: i64 = int(&mut rest)?;
                let [is_future] = take::<1>(&mut rest)?;
                if is_future == 0 {
                    sizes.insert((topic.to_owned(), u32::try_from(partition).ok()?), bytes);
                }
            }
        }
    }
    Some(sizes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

/// A number in network order.
trait Int<const N: usize> {
    fn of(bytes: [u8; N]) -> Self;
}

macro_rules! ints {
    ($($int:ty: $size:literal),*) => {$(
        impl Int<$size> for $int {
            fn of(bytes: [u8; $size]) -> Self {
                Self::from_be_bytes(bytes)
            }
        }
    )*};
}

ints!(i16: 2, i32: 4, i64: 8);

fn int<T: Int<N>, const N: usize>(rest: &mut &[u8]) -> Option<T> {
    take(rest).map(T::of)
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(int::<i16, 2>(rest)?).ok()?;
    let (text, left) = rest.split_at_checked(length)?;
    *rest = left;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One folder with one topic of two partitions, the second of which is about to move.
    fn answer() -> Vec<u8> {
        let mut answer =
            vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, b'/', b'd', 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2];
        for (partition, bytes, is_future) in [(0i32, 78i64, 0u8), (1, 5, 1)] {
            answer.extend_from_slice(&partition.to_be_bytes());
            answer.extend_from_slice(&bytes.to_be_bytes());
            answer.extend_from_slice(&0i64.to_be_bytes());
            answer.push(is_future);
        }
        answer
    }

    #[test]
    fn sizes_are_those_of_the_replicas_in_use() {
        assert_eq!(parse(&answer()), Some(HashMap::from([(("t".to_owned(), 0), 78)])));
    }

    #[test]
    fn an_answer_that_is_cut_off_is_none() {
        let answer = answer();
        (0..answer.len()).for_each(|length| assert_eq!(parse(&answer[..length]), None, "{length} bytes"));
    }

    #[test]
    fn the_request_is_as_documented() {
        let wanted = b"\0\0\0\x26\0\x23\0\x01\0\0\0\x01\0\x07bespoke\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x01";
        let request = request(&[("t", vec![0, 1])]);
        assert_eq!(request.len(), 4 + i32::from_be_bytes([request[0], request[1], request[2], request[3]]) as usize);
        assert_eq!(request[4..], wanted[4..]);
    }
}
