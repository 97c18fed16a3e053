//! Names that are meant to do harm where they are shown.

/// 255 bytes, as long as a name can be.
const LONGEST: [u8; 255] = [b'x'; 255];

/// For containers and, cut to what the kernel keeps, for processes: lines, quotes, escapes of a terminal, markup, text
/// that runs backwards, metrics, bytes that are no text, and the longest.
pub const FORGED: [&[u8]; 10] = [
    b"line\n{\"kind\":\"torn_read\"}",
    b"quote\"}',`$(id)",
    b"\x1b[2J\x1b]0;owned\x07",
    b"<script>alert(1)<script>",
    b"<img src=x onerror=alert(1)>",
    "\u{202e}nosj.etats".as_bytes(),
    b"x{runtime=\"y\"} 1\n# TYPE",
    b"\xff\xfe\x80 no text",
    b"\\x1b%0d%0a\r",
    &LONGEST,
];
