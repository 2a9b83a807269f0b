/** Text without what moves cursors and sets colours, as terminals and reports can show it; line ends and tabs stay. */
export function withoutControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
  return text.replace(/\u001b(?:\[[0-9;?=]*[ -/]*[@-~]|.)|[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '');
}
