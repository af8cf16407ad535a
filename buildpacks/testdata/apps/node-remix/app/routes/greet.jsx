export const loader = ({ params }) => ({ greeting: `good day, ${params.name}` });

export default function Greet({ loaderData }) {
  return <p>{loaderData.greeting}</p>;
}
