package scan

import "bytes"

func findWhole(_ []byte, start, end int) (int, int, bool) { return start, end, true }

// findTag finds an element that a browser would run or load: the literal must be the whole name. The range ends with the opening tag.
func findTag(text []byte, start, end int) (int, int, bool) {
	if end < len(text) && (alnum(text[end]) || text[end] == '-' || text[end] == '_') {
		return 0, 0, false
	}
	stop := end
	if at := bytes.IndexByte(text[end:min(len(text), end+512)], '>'); at >= 0 {
		stop = end + at + 1
	}
	return start, stop, true
}

// findScriptURL finds javascript: where something follows that could be run; "JavaScript: The Good Parts" is a book.
func findScriptURL(text []byte, start, end int) (int, int, bool) {
	if start > 0 && alnum(text[start-1]) || end >= len(text) || text[end] <= ' ' {
		return 0, 0, false
	}
	stop := end
	for stop < len(text) && stop-end < 256 && text[stop] > ' ' && text[stop] != '"' && text[stop] != '>' {
		stop++
	}
	return start, stop, true
}

// findHandler finds the attribute of an element whose value a browser would run. There must be a tag before it.
func findHandler(text []byte, start, end int) (int, int, bool) {
	if start == 0 || text[start-1] > ' ' && text[start-1] != '"' && text[start-1] != '\'' && text[start-1] != '/' {
		return 0, 0, false
	}
	before := text[max(0, start-256):start]
	open := bytes.LastIndexByte(before, '<')
	if open < 0 || bytes.IndexByte(before[open:], '>') >= 0 || open+1 >= len(before) || !letter(before[open+1]) {
		return 0, 0, false
	}
	return start, end, true
}

// minExfiltrated is the length from which an image's query may carry something away.
const minExfiltrated = 24

// findImage finds an image in Markdown whose address has a long query: shown, it sends the query to its server.
func findImage(text []byte, start, end int) (int, int, bool) {
	rest := text[end:min(len(text), end+2048)]
	open := bytes.LastIndex(text[max(0, start-128):start], []byte("!["))
	stop := bytes.IndexByte(rest, ')')
	if open < 0 || stop < 0 {
		return 0, 0, false
	}
	query := bytes.IndexByte(rest[:stop], '?')
	if query < 0 || stop-query < minExfiltrated {
		return 0, 0, false
	}
	return max(0, start-128) + open, end + stop + 1, true
}
