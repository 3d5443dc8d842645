/** The uploads of this tab. They outlive the page they were begun on: whoever follows a job meanwhile does not stop them. */

import { Upload, type Draft } from './upload.svelte';

class Uploads {
  list = $state.raw<Upload[]>([]);
  /** Files whose job may not be in the list of jobs yet: it is asked often until they are. */
  awaited = $state.raw<string[]>([]);

  constructor() {
    // Chosen files are gone with the tab.
    addEventListener('beforeunload', (event) => this.list.some((upload) => upload.isUnderWay) && event.preventDefault());
  }

  begin(file: File, draft: Draft): void {
    const upload = new Upload(file, draft, (fileId) => {
      if (fileId) this.awaited = [...this.awaited, fileId];
    });
    this.list = [upload, ...this.list];
    void upload.start();
  }

  drop(upload: Upload): void {
    if (upload.state !== 'done') void upload.giveUp();
    this.list = this.list.filter((one) => one !== upload);
  }
}

export const uploads = new Uploads();
