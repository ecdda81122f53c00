BUGS = [
    dict(
        name="text: the Kelvin sign is read as a k, as Unicode folds it",
        file="src/quota/text.rs",
        old="let lower = word.to_ascii_lowercase();",
        new="let lower = word.to_lowercase();",
        tests=["letters_that_only_look_like_a_name_are_none"],
    ),
    dict(
        name="text: a quote keeps the blanks behind the quota",
        file="src/quota/text.rs",
        old="excerpt(self.text[start..self.at].trim_end())",
        new="excerpt(&self.text[start..self.at])",
        tests=["an_error_quotes_a_quota_without_the_blanks_around_it"],
    ),
    dict(
        name="text: a position counts bytes",
        file="src/quota/text.rs",
        old="text[..at].chars().count() + 1",
        new="text[..at].len() + 1",
        tests=["a_position_counts_characters_however_many_bytes_they_take"],
    ),
]
