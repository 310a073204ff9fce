//! A line of shell, taken apart as far as its words.

/// The simple commands of a line, each as its words: without quotes, redirections and comments, and
/// without what may stand before a command.
pub fn commands(line: &str) -> Vec<Vec<String>> {
    let mut reader = Reader::default();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => reader.add(&until(&mut chars, '\'')),
            '"' => reader.add(&until(&mut chars, '"')),
            '\\' => reader.add(&chars.next().unwrap_or_default().to_string()),
            '$' if chars.peek() == Some(&'(') => {
                chars.next();
                reader.end_command();
            }
            '>' | '<' => {
                reader.drop_number();
                while chars.next_if(|c| ">&< ".contains(*c)).is_some() {}
                while chars.next_if(|c| !c.is_whitespace() && !";|&()".contains(*c)).is_some() {}
            }
            '#' if reader.word.is_none() => break,
            ';' | '|' | '&' | '(' | ')' | '`' => reader.end_command(),
            c if c.is_whitespace() => reader.end_word(),
            c => reader.add(&c.to_string()),
        }
    }
    reader.end_command();
    reader.commands.into_iter().map(without_prefix).filter(|words| !words.is_empty()).collect()
}

#[derive(Default)]
struct Reader {
    commands: Vec<Vec<String>>,
    words: Vec<String>,
    /// None between words: an empty word is one in quotes.
    word: Option<String>,
}

impl Reader {
    fn add(&mut self, text: &str) {
        self.word.get_or_insert_default().push_str(text);
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_command(&mut self) {
        self.end_word();
        self.commands.push(std::mem::take(&mut self.words));
    }

    /// Of a redirection, as in `2>`.
    fn drop_number(&mut self) {
        let is_number = |word: &mut String| word.bytes().all(|b| b.is_ascii_digit());
        self.word.take_if(is_number);
        self.end_word();
    }
}

/// The text up to a closing quote. What is substituted within double quotes stays as it is.
fn until(chars: &mut impl Iterator<Item = char>, quote: char) -> String {
    let (mut text, mut depth) = (String::new(), 0);
    while let Some(c) = chars.next() {
        match c {
            '\\' if quote == '"' => text.extend(chars.next()),
            '(' => depth += 1,
            ')' => depth -= 1,
            c if c == quote && (depth <= 0 || quote == '\'') => break,
            c => text.push(c),
        }
    }
    text
}

fn without_prefix(words: Vec<String>) -> Vec<String> {
    const BEFORE: [&str; 16] = [
        "exec", "sudo", "env", "nohup", "time", "if", "then", "elif", "else", "while", "until",
        "do", "!", "{", "}", "&&",
    ];
    let is_assignment = |word: &str| {
        let name = word.split_once('=').map(|(name, _)| name);
        name.is_some_and(|n| n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    };
    let before = |word: &String| BEFORE.contains(&word.as_str()) || is_assignment(word);
    words.into_iter().skip_while(before).collect()
}

#[test]
fn a_line_is_taken_apart() {
    let read = |line: &str| commands(line).iter().map(|words| words.join("|")).collect::<Vec<_>>();
    assert_eq!(read("a 'b c' \"d $(e f) g\" h\\ i # j"), ["a|b c|d $e f g|h i"]);
    assert_eq!(read("A=1 exec b && if c; then d 2>/dev/null >&2 e; fi"), ["b", "c", "d|e", "fi"]);
    assert_eq!(read("a \"$(b)\" | c > f"), ["a|$b", "c"]);
    assert_eq!(read("x=$(a b) c"), ["a|b", "c"]);
}
