//! What functions there are, and of which types. One line per overload: `@` marks a method, whose first parameter is the
//! receiver; A and B stand for any type.

/// Operators and the standard library.
pub(super) const STANDARD: &str = "
! (bool) bool
?: (bool, A, A) A
-_ (int) int
-_ (double) double
-_ (duration) duration
+ (int, int) int
+ (uint, uint) uint
+ (double, double) double
+ (string, string) string
+ (bytes, bytes) bytes
+ (list(A), list(A)) list(A)
+ (timestamp, duration) timestamp
+ (duration, timestamp) timestamp
+ (duration, duration) duration
- (int, int) int
- (uint, uint) uint
- (double, double) double
- (timestamp, timestamp) duration
- (timestamp, duration) timestamp
- (duration, duration) duration
* (int, int) int
* (uint, uint) uint
* (double, double) double
/ (int, int) int
/ (uint, uint) uint
/ (double, double) double
% (int, int) int
% (uint, uint) uint
== (A, A) bool
!= (A, A) bool
in (A, list(A)) bool
in (A, map(A, B)) bool
[] (list(A), int) A
[] (map(A, B), A) B
[] (optional_type(list(A)), int) optional_type(A)
[] (optional_type(map(A, B)), A) optional_type(B)
[?] (list(A), int) optional_type(A)
[?] (map(A, B), A) optional_type(B)
[?] (optional_type(list(A)), int) optional_type(A)
[?] (optional_type(map(A, B)), A) optional_type(B)
dyn (A) dyn
type (A) type
size (string) int
size (bytes) int
size (list(A)) int
size (map(A, B)) int
@size (string) int
@size (bytes) int
@size (list(A)) int
@size (map(A, B)) int
bool (bool) bool
bool (string) bool
int (int) int
int (uint) int
int (double) int
int (string) int
int (timestamp) int
uint (uint) uint
uint (int) uint
uint (double) uint
uint (string) uint
double (double) double
double (int) double
double (uint) double
double (string) double
string (string) string
string (bool) string
string (int) string
string (uint) string
string (double) string
string (bytes) string
string (timestamp) string
string (duration) string
bytes (bytes) bytes
bytes (string) bytes
timestamp (timestamp) timestamp
timestamp (string) timestamp
timestamp (int) timestamp
duration (duration) duration
duration (string) duration
@startsWith (string, string) bool
@endsWith (string, string) bool
@contains (string, string) bool
@matches (string, string) bool
matches (string, string) bool
@getHours (duration) int
@getMinutes (duration) int
@getSeconds (duration) int
@getMilliseconds (duration) int
";

/// Fields of a duration, the last ones of a timestamp.
pub(crate) const DURATION_FIELDS: &[&str] = TIMESTAMP_FIELDS.split_at(6).1;

/// Fields of a timestamp, each with and without a time zone.
pub(crate) const TIMESTAMP_FIELDS: [&str; 10] = [
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
];

/// Extensions: optionals, strings, math, encoders, network.
pub(super) const EXTENSIONS: &str = "
optional.of (A) optional_type(A)
optional.ofNonZeroValue (A) optional_type(A)
optional.none () optional_type(A)
@hasValue (optional_type(A)) bool
@value (optional_type(A)) A
@or (optional_type(A), optional_type(A)) optional_type(A)
@orValue (optional_type(A), A) A
@first (list(A)) optional_type(A)
@last (list(A)) optional_type(A)
optional.unwrap (list(optional_type(A))) list(A)
@unwrapOpt (list(optional_type(A))) list(A)
@charAt (string, int) string
@indexOf (string, string) int
@indexOf (string, string, int) int
@lastIndexOf (string, string) int
@lastIndexOf (string, string, int) int
@lowerAscii (string) string
@upperAscii (string) string
@replace (string, string, string) string
@replace (string, string, string, int) string
@split (string, string) list(string)
@split (string, string, int) list(string)
@substring (string, int) string
@substring (string, int, int) string
@trim (string) string
@reverse (string) string
@join (list(string)) string
@join (list(string), string) string
@format (string, list(dyn)) string
strings.quote (string) string
base64.encode (bytes) string
base64.decode (string) bytes
math.ceil (double) double
math.floor (double) double
math.round (double) double
math.trunc (double) double
math.isNaN (double) bool
math.isInf (double) bool
math.isFinite (double) bool
math.abs (int) int
math.abs (uint) uint
math.abs (double) double
math.sign (int) int
math.sign (uint) uint
math.sign (double) double
math.sqrt (int) double
math.sqrt (uint) double
math.sqrt (double) double
math.bitAnd (int, int) int
math.bitAnd (uint, uint) uint
math.bitOr (int, int) int
math.bitOr (uint, uint) uint
math.bitXor (int, int) int
math.bitXor (uint, uint) uint
math.bitNot (int) int
math.bitNot (uint) uint
math.bitShiftLeft (int, int) int
math.bitShiftLeft (uint, int) uint
math.bitShiftRight (int, int) int
math.bitShiftRight (uint, int) uint
ip (string) net.IP
isIP (string) bool
ip.isCanonical (string) bool
@family (net.IP) int
@isUnspecified (net.IP) bool
@isLoopback (net.IP) bool
@isGlobalUnicast (net.IP) bool
@isLinkLocalMulticast (net.IP) bool
@isLinkLocalUnicast (net.IP) bool
string (net.IP) string
cidr (string) net.CIDR
isCIDR (string) bool
@containsIP (net.CIDR, net.IP) bool
@containsIP (net.CIDR, string) bool
@containsCIDR (net.CIDR, net.CIDR) bool
@containsCIDR (net.CIDR, string) bool
@ip (net.CIDR) net.IP
@masked (net.CIDR) net.CIDR
@prefixLength (net.CIDR) int
string (net.CIDR) string
";

/// Names of types, as values.
pub(super) const TYPES: [&str; 15] = [
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "optional_type",
    "net.IP",
    "net.CIDR",
];

/// Types that `<` compares with each other.
pub(super) const ORDERED: [&[&str]; 6] =
    [&["int", "uint", "double"], &["bool"], &["string"], &["bytes"], &["timestamp"], &["duration"]];
