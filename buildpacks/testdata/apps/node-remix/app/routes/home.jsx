export const meta = () => [{ title: "react router" }];

export default function Home() {
  return <p>hello from react router</p>;
}
