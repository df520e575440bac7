package api

import (
	"errors"
	"io"
	"net/http"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/privacy"
)

// export streams the archive of a completed export: everything about a person, as it is handed out.
func (s *Server) export(c *call) (*answer, error) {
	request, err := c.about()
	var archive *privacy.Archive
	if err == nil {
		archive, err = privacy.OpenExport(c.context(), s.deps.Vault, s.cfg.ExportDir, request.ID)
	}
	var missing *failure
	switch {
	case errors.Is(err, privacy.ErrNoExport):
		missing = &failure{status: http.StatusNotFound, detail: "there is no archive: it is not made yet, its time has passed, the person was erased, or the request is none for an export"}
	case errors.Is(err, privacy.ErrExportElsewhere):
		missing = &failure{status: http.StatusNotFound, detail: "the archive is in the folder exporter.export_dir of another machine"}
	case err != nil && !errors.As(err, &missing):
		return nil, err
	}
	use := privacy.Use{What: "export", Request: request.ID}
	if missing == nil {
		use.Count, use.People, use.Contents = int(archive.Events), 1, int(archive.Events)
	}
	if err := c.note(use); err != nil {
		if archive != nil {
			err = errors.Join(err, archive.Close())
		}
		return nil, err
	}
	if missing != nil {
		return nil, missing
	}
	a := &answer{status: http.StatusOK, contentType: "application/zip", stream: archive, fileName: uuid.UUID(request.ID).String() + ".zip"}
	if archive.Sealed {
		a.contentType, a.fileName = "application/octet-stream", a.fileName+".age" // for age, which its recipient has
	}
	return a, nil
}

// copyTo sends a stream. Each part must be taken in time, however long the whole takes. It returns false if the stream did not come to its end: what was sent
// must not be taken for all of it.
func (c *call) copyTo(w io.Writer, stream io.Reader) bool {
	buffer := make([]byte, 64<<10)
	for {
		n, err := stream.Read(buffer)
		if n > 0 {
			if c.extendWriting() != nil {
				return false
			}
			if _, err := w.Write(buffer[:n]); err != nil {
				return false
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return true
		case err != nil:
			c.server.deps.Log.Warn("an archive cannot be read to its end", "error", err)
			return false
		}
	}
}
