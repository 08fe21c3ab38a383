-- The words of all texts. The index holds no text of its own; triggers keep it inside the commit of the row, whoever writes that.
CREATE VIRTUAL TABLE search USING fts5 (
    text,
    content = '',
    contentless_delete = 1,
    tokenize = "unicode61 remove_diacritics 2"
);

CREATE TRIGGER message_search_new AFTER INSERT ON message
WHEN new.sender <> ''
    AND (new.content_type = '' OR new.content_type = 'text/plain' OR new.content_type LIKE 'text/plain;%')
BEGIN
    INSERT INTO search (rowid, text) VALUES (new.idx, CAST(new.body AS TEXT));
END;

CREATE TRIGGER message_search_changed AFTER UPDATE OF body, content_type, sender ON message
BEGIN
    DELETE FROM search WHERE rowid = old.idx;
    INSERT INTO search (rowid, text)
    SELECT new.idx, CAST(new.body AS TEXT)
    WHERE new.sender <> ''
        AND (new.content_type = '' OR new.content_type = 'text/plain' OR new.content_type LIKE 'text/plain;%');
END;

CREATE TRIGGER message_search_gone AFTER DELETE ON message
BEGIN
    DELETE FROM search WHERE rowid = old.idx;
END;

-- What an older build wrote.
INSERT INTO search (rowid, text)
SELECT idx, CAST(body AS TEXT) FROM message
WHERE sender <> '' AND (content_type = '' OR content_type = 'text/plain' OR content_type LIKE 'text/plain;%')
ORDER BY idx;
